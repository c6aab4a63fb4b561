package ingest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// A pong says that what came before its ping has been written to the output. While it cannot be, there are signs of
// life.
func TestPongWaitsForDelivery(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Format: stream.TS}, func(r *rig) { r.server.keepAlive = 10 * time.Millisecond })
	r.out.hold(true)
	conn := r.websocket("/")
	conn.Discard()
	body := ts(10, 1)
	pong, err := conn.WritePing(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("signs of life", func() bool {
		select {
		case <-pong.Done():
			t.Fatalf("a pong for what has not been written: %v", pong.Err())
		default:
		}
		return conn.Received() >= 3
	})
	r.out.hold(false)
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if err := pong.Err(); err != nil {
		t.Fatal(err)
	}
	r.expectOut(body)

	// The beginning of a packet is held until the rest comes: its ping does not wait for that.
	r.message(conn, body[:100])
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	r.message(conn, body[100:])
	if err := conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	r.expectOut(append(bytes.Clone(body), body...))
	r.closeWebsocket(conn)
}

// A publisher that waits for its pong is not idle.
func TestWaitingForAPongIsNotIdle(t *testing.T) {
	t.Parallel()
	const idle = 50 * time.Millisecond
	r := start(t, Options{Format: stream.TS, IdleTimeout: idle})
	r.out.hold(true)
	conn := r.websocket("/")
	conn.Discard()
	pong, err := conn.WritePing(t.Context(), ts(10, 1))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * idle) // the time that must pass
	r.out.hold(false)
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if pong.Err() != nil {
		t.Error(pong.Err())
	}
	r.expectClose(conn, wsconn.StatusPolicyViolation) // now it is
}

// When the server ends before the output has taken what came, no pong says that it has.
func TestNoPongForWhatIsDropped(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Format: stream.TS})
	r.out.hold(true)
	conn := r.websocket("/")
	conn.Discard()
	pong, err := conn.WritePing(t.Context(), ts(10, 1))
	if err != nil {
		t.Fatal(err)
	}
	r.out.awaitHeld()
	r.hard(errors.New("enough"))
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if pong.Err() == nil {
		t.Error("a pong for what was dropped")
	}
	_ = r.await()
}

// A publisher that comes back replaces its own connection, which it knows to be dead before the server does.
func TestPublisherReplacesItsOwnConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second string
		want          int
	}{
		"the same stream":  {"cam1", "cam1", 101},
		"another stream":   {"cam1", "cam2", 409},
		"no name":          {"", "", 409},
		"not a valid name": {"a b", "a b", 409},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{})
			first, _ := r.dialStream(c.first)
			body := ts(20, 1)
			r.message(first, body[:10*mpegts.PacketSize])
			r.out.await(t, 10*mpegts.PacketSize)
			second, code := r.dialStream(c.second)
			if code != c.want {
				t.Fatalf("status %d, want %d", code, c.want)
			}
			if second == nil {
				return
			}
			r.message(second, body[10*mpegts.PacketSize:])
			r.closeWebsocket(second)
			r.out.await(t, len(body))
			r.expectOut(body)
			if got := r.counts().Stream; got != c.second {
				t.Errorf("the ledger names the stream %q", got)
			}
		})
	}
}

// dialStream connects as the publisher of a stream, and returns the status of the answer.
func (r *rig) dialStream(name string) (conn *wsconn.Conn, status int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	conn, err := wsconn.Dial(ctx, "ws://"+r.addr, wsconn.DialOptions{Header: http.Header{wsconn.StreamHeader: {name}}})
	var refused *wsconn.StatusError
	if errors.As(err, &refused) {
		return nil, refused.Code
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(conn.CloseNow)
	return conn, http.StatusSwitchingProtocols
}

// With Once, a publisher that replaces its own connection has not ended.
func TestOnceOutlivesAConnection(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Once: true})
	body := ts(20, 1)
	var conn *wsconn.Conn
	from := 0
	for _, to := range []int{5 * mpegts.PacketSize, 10 * mpegts.PacketSize, 15 * mpegts.PacketSize, len(body)} {
		var status int
		if conn, status = r.dialStream("cam1"); conn == nil {
			t.Fatalf("status %d after %d bytes", status, from)
		}
		r.message(conn, body[from:to])
		if to < len(body) { // all but the end, which waits for what follows
			r.out.await(t, to)
		}
		from = to
	}
	r.closeWebsocket(conn)
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.expectOut(body)
}
