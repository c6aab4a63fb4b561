package ingest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

func (r *rig) websocket(path string) *wsconn.Conn {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	conn, err := wsconn.Dial(ctx, "ws://"+r.addr+path, wsconn.DialOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(conn.CloseNow)
	return conn
}

func (r *rig) message(conn *wsconn.Conn, data []byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := conn.Write(ctx, data); err != nil {
		r.t.Errorf("write a message: %v", err)
	}
}

func (r *rig) closeWebsocket(conn *wsconn.Conn) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := conn.Close(ctx, 1000, ""); err != nil {
		r.t.Error(err)
	}
}

// expectClose waits for the server's close frame.
func (r *rig) expectClose(conn *wsconn.Conn, code int) {
	r.t.Helper()
	conn.Discard()
	select {
	case <-conn.Done():
	case <-time.After(testTimeout):
		r.t.Fatal("the websocket is not closed")
	}
	var closed *wsconn.CloseError
	if err := conn.Err(); !errors.As(err, &closed) || closed.Code != code {
		r.t.Errorf("closed with %v, not %d", err, code)
	}
}

func TestWebsocketPublisher(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Tokens: tokens(t, "s")})
	var want []byte
	for _, sizes := range [][]int{{1, 2, 185}, {0, 188 * 500}, {188 * 7, 300, 76, 188 * 100}, {4 << 20}} {
		conn := r.websocket("/s/cam")
		body := ts(1000, uint64(len(sizes)))
		for _, n := range sizes {
			n = min(n, len(body))
			r.message(conn, body[:n])
			want = append(want, body[:n]...)
			body = body[n:]
		}
		r.closeWebsocket(conn)
		r.out.await(t, len(want))
		r.expectOut(want)
		r.awaitNoPublisher()
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.expectLog("publisher ended")
}

func TestWebsocketRefused(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Tokens: tokens(t, "s")})
	refused := func(path string, want int) {
		t.Helper()
		_, err := wsconn.Dial(context.Background(), "ws://"+r.addr+path, wsconn.DialOptions{})
		var status *wsconn.StatusError
		if !errors.As(err, &status) || status.Code != want {
			t.Errorf("%v, not %d", err, want)
		}
	}
	refused("/", 401)
	conn := r.websocket("/s")
	refused("/s", 409)
	if status := r.post("/s", bytes.NewReader(nil)); status != 411 && status != 409 {
		t.Errorf("a POST beside it got %d", status)
	}
	r.closeWebsocket(conn)
	r.awaitNoPublisher()
	// A handshake that fails does not take the place.
	c := r.begin("GET /s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp := c.answer(); resp.StatusCode < 400 {
		t.Errorf("half a handshake: %s", resp.Status)
	}
	if status := r.post("/s", bytes.NewReader([]byte("x"))); status != 204 {
		t.Error(status)
	}
}

// What comes before a bad frame is delivered, and the close frame says what was wrong; where a frame's header makes no
// sense at all, the connection may end without a word.
func TestWebsocketBadFrames(t *testing.T) {
	t.Parallel()
	const binary = "\x82\x82\x00\x00\x00\x00ab" // "ab", masked by zeros
	for name, c := range map[string]struct {
		frames        string
		code          int
		mayBeWordless bool
	}{
		"text":       {frames: binary + "\x81\x82\x00\x00\x00\x00cd", code: 1003},
		"not masked": {frames: binary + "\x82\x02cd", code: 1002, mayBeWordless: true},
		"negative length": {frames: binary + "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", code: 1002,
			mayBeWordless: true},
		"reserved bit":       {frames: binary + "\xc2\x82\x00\x00\x00\x00cd", code: 1002},
		"unknown opcode":     {frames: binary + "\x83\x82\x00\x00\x00\x00cd", code: 1002},
		"nothing to go on":   {frames: binary + "\x80\x82\x00\x00\x00\x00cd", code: 1002},
		"message in another": {frames: "\x02\x82\x00\x00\x00\x00ab" + binary, code: 1002},
		"ping in pieces":     {frames: binary + "\x09\x80\x00\x00\x00\x00", code: 1002},
		"close without code": {frames: binary + "\x88\x81\x00\x00\x00\x00x", code: 1002},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{})
			key := base64.StdEncoding.EncodeToString(make([]byte, 16))
			conn := r.begin("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " +
				"websocket\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Key: " + key + "\r\n\r\n")
			if resp := conn.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(resp.Status)
			}
			conn.send(c.frames)
			frame := make([]byte, 4)
			_, err := io.ReadFull(conn.in, frame)
			wordless := err == io.EOF && c.mayBeWordless
			if code := int(frame[2])<<8 | int(frame[3]); !wordless && (err != nil || frame[0] != 0x88 ||
				code != c.code) {
				t.Errorf("frame % x, %v", frame, err)
			}
			r.out.await(t, 2)
			r.expectOut([]byte("ab"))
			r.expectLog("publisher died")
		})
	}
}

func TestWebsocketMaxBody(t *testing.T) {
	t.Parallel()
	r := start(t, Options{MaxBody: 10, Format: stream.Raw})
	conn := r.websocket("/")
	r.message(conn, []byte("01234"))
	r.message(conn, []byte("56789"))
	r.closeWebsocket(conn)
	r.out.await(t, 10)
	r.awaitNoPublisher()
	conn = r.websocket("/")
	r.message(conn, []byte("01234"))
	r.message(conn, []byte("567890"))
	r.expectClose(conn, 1009)
	r.out.await(t, 20)
	r.expectOut([]byte("01234567890123456789"))
}

func TestWebsocketDied(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	conn := r.websocket("/")
	r.message(conn, ts(20, 1)[:1000])
	r.out.await(t, 5*mpegts.PacketSize)
	conn.CloseNow()
	r.awaitNoPublisher()
	r.expectLog("publisher died")
	if c := r.counts(); c.Held != 1000-5*mpegts.PacketSize {
		t.Errorf("counted as %+v", c)
	}
}

func TestWebsocketIdle(t *testing.T) {
	t.Parallel()
	t.Run("idle", func(t *testing.T) {
		r := start(t, Options{IdleTimeout: 50 * time.Millisecond})
		conn := r.websocket("/")
		r.message(conn, []byte("x"))
		conn.Discard()
		<-conn.Done()
		r.awaitNoPublisher()
		r.expectLog("sent nothing for too long")
	})
	t.Run("blocked is not idle", func(t *testing.T) {
		r := start(t, Options{IdleTimeout: time.Second, Buffer: 1000})
		r.out.hold(true)
		conn := r.websocket("/")
		sent := make(chan struct{})
		go func() {
			r.message(conn, make([]byte, 512<<10))
			close(sent)
		}()
		r.out.awaitHeld()
		time.Sleep(1200 * time.Millisecond)
		r.out.hold(false)
		<-sent
		r.closeWebsocket(conn)
		r.out.await(t, 512<<10)
	})
}

func TestWebsocketTakeover(t *testing.T) {
	t.Parallel()
	t.Run("takeover", func(t *testing.T) {
		r := start(t, Options{Publishers: Takeover})
		conn := r.websocket("/")
		r.message(conn, []byte("x"))
		r.out.await(t, 1)
		if status := r.post("/", bytes.NewReader([]byte("y"))); status != 204 {
			t.Error(status)
		}
		r.expectClose(conn, 1008)
		r.expectOut([]byte("xy"))
	})
	t.Run("no takeover by what is no handshake", func(t *testing.T) {
		r := start(t, Options{Publishers: Takeover})
		conn := r.websocket("/")
		r.message(conn, []byte("x"))
		r.out.await(t, 1)
		const get = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
		const key, upgrade = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Connection: Upgrade\r\n"
		for _, header := range []string{
			upgrade + "Sec-WebSocket-Version: 13\r\n",
			upgrade + "Sec-WebSocket-Version: 12\r\n" + key,
			upgrade + "Sec-WebSocket-Version: 13\r\n" + key + key,
			"Sec-WebSocket-Version: 13\r\n" + key,
		} {
			if resp := r.begin(get + header + "\r\n").answer(); resp.StatusCode/100 != 4 {
				t.Errorf("answered %s to %q", resp.Status, header)
			}
		}
		r.message(conn, []byte("y"))
		r.out.await(t, 2)
		r.expectOut([]byte("xy"))
		conn.CloseNow()
	})
}

func TestWebsocketStop(t *testing.T) {
	t.Parallel()
	t.Run("stop", func(t *testing.T) {
		r := start(t, Options{})
		conn := r.websocket("/")
		r.message(conn, []byte("x"))
		r.out.await(t, 1)
		r.soft(nil)
		r.expectClose(conn, 1001)
		if err := r.await(); err != nil {
			t.Error(err)
		}
	})
	t.Run("hard", func(t *testing.T) {
		r := start(t, Options{Buffer: 1000})
		r.out.hold(true)
		conn := r.websocket("/")
		r.message(conn, make([]byte, 10000))
		r.out.awaitHeld()
		r.hard(nil)
		r.await()
	})
}
