package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

func TestPublishers(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	var want []byte
	for i, body := range [][]byte{ts(50, 1), []byte("hello"), {}, bytes.Repeat([]byte("x"), 3<<20), ts(3, 2),
		ts(500, 3)} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			for _, counted := range []bool{true, false} {
				var reader io.Reader = bytes.NewReader(body)
				if !counted {
					reader = chunks(body)
				}
				req, err := http.NewRequest(method, r.url(fmt.Sprintf("/a/%d?q", i)), reader)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := oneShot.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusNoContent {
					t.Fatalf("%s of %d bytes, counted %v: %s", method, len(body), counted, resp.Status)
				}
				want = append(want, body...)
				r.expectOut(want)
			}
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if c := r.counts(); c.Confirmed != int64(len(want)) || c.Dropped.Sum() != 0 {
		t.Errorf("counted as %+v", c)
	}
}

// What comes in small goes out at once, also before it is sure what it is.
func TestSmallAndSlow(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.begin(chunkedPost)
	for i := range 3 {
		c.send(chunk([]byte("tick")))
		r.out.await(t, 4*(i+1))
	}
	c.send(lastChunk)
	c.expect(204)
}

// 204 says that the last byte has been written.
func TestAnswerComesWhenWritten(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	r.out.hold(true)
	c := r.begin(chunkedPost + chunk(ts(5, 1)) + lastChunk)
	r.out.awaitHeld()
	r.awaitNoPublisher() // all of it has been read
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := c.in.Peek(1); err == nil {
		t.Fatal("answered while the output is held up")
	}
	_ = c.SetReadDeadline(time.Now().Add(testTimeout))
	// The next one needs not wait for that.
	next := r.begin(chunkedPost + chunk(ts(5, 2)))
	r.awaitPublisher()
	r.out.hold(false)
	c.expect(204)
	next.send(lastChunk)
	next.expect(204)
	r.expectOut(append(ts(5, 1), ts(5, 2)...))
}

// The client may close after its body without the response, as ffmpeg does.
func TestClientThatDoesNotWait(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.begin(chunkedPost + chunk(ts(5, 1)) + lastChunk)
	c.Close()
	r.out.await(t, len(ts(5, 1)))
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.expectLog("publisher ended")
}

func TestSplice(t *testing.T) {
	t.Parallel()
	body := ts(40, 1)
	for _, end := range []struct {
		name string
		do   func(*client)
	}{
		{"reset", (*client).reset},
		{"closed", func(c *client) { c.Close() }},
		{"malformed", func(c *client) { c.send("\r\nno size\r\n"); c.expect(400) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			const part = 1000*mpegts.PacketSize/10 + 77
			r := start(t, Options{})
			c := r.begin(chunkedPost + fmt.Sprintf("%x\r\n", part))
			c.send(string(body[:part]))
			r.out.await(t, part-77) // whole packets never wait
			end.do(c)
			r.awaitNoPublisher()
			if status := r.post("/", chunks(body)); status != 204 {
				t.Fatal(status)
			}
			r.expectOut(append(body[:part-77:part-77], body...))
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if d := r.counts().Dropped; d != (stream.Dropped{Torn: 77}) {
				t.Errorf("dropped %+v", d)
			}
			r.expectLog("publisher died")
		})
	}
}

// Of a raw stream nothing is torn, and the last stream is delivered to its last byte.
func TestNothingTorn(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.begin(chunkedPost + "ffff\r\nhello")
	r.out.await(t, 5)
	c.reset()
	r.awaitNoPublisher()
	odd := ts(10, 1)[:2000]
	r.post("/", chunks(odd))
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.expectOut(append([]byte("hello"), odd...))
}

func TestCountedBodyCutShort(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	c := r.begin("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n" + string(ts(10, 1)[:2000]))
	_ = c.CloseWrite()
	c.expect(400)
	r.out.await(t, 10*mpegts.PacketSize)
	r.expectOut(ts(10, 1)[:10*mpegts.PacketSize])
	if c := r.counts(); c.Held != 2000-10*mpegts.PacketSize {
		t.Errorf("counted as %+v", c)
	}
	if err := r.stop(); err != nil { // nothing follows: all of it is delivered
		t.Error(err)
	}
	r.expectOut(ts(10, 1)[:2000])
}

func (c *client) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func TestTakeover(t *testing.T) {
	t.Parallel()
	body := ts(40, 1)
	r := start(t, Options{Publishers: Takeover})
	var cut []*client
	for range 3 {
		c := r.begin(chunkedPost + "ffffff\r\n" + string(body[:1000]))
		cut = append(cut, c)
		r.out.await(t, len(cut)*5*mpegts.PacketSize)
	}
	if status := r.post("/", chunks(body)); status != 204 {
		t.Fatal(status)
	}
	for _, c := range cut {
		c.expect(409)
	}
	whole := body[: 5*mpegts.PacketSize : 5*mpegts.PacketSize]
	r.expectOut(bytes.Join([][]byte{whole, whole, whole, body}, nil))
	if d := r.counts().Dropped; d != (stream.Dropped{Torn: 3 * (1000 - 5*mpegts.PacketSize)}) {
		t.Errorf("dropped %+v", d)
	}
}

// Many come at once; each either publishes in its turn or is cut, and none is mixed with another.
func TestTakeoverRace(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Publishers: Takeover, Format: stream.TS})
	var clients []*client
	for range 20 {
		clients = append(clients, r.begin(chunkedPost+chunk(ts(20, 1))))
	}
	for _, c := range clients {
		defer c.reset()
	}
	r.eventually("19 are cut", func() bool { return strings.Count(r.log.String(), "publisher cut") == 19 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if n := len(r.out.bytes()); n%mpegts.PacketSize != 0 {
		t.Errorf("%d bytes came out", n)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Once: true})
	first := r.begin(chunkedPost + chunk(ts(5, 1)))
	r.awaitPublisher()
	if status := r.post("/", strings.NewReader("x")); status != 409 {
		t.Errorf("the second one got %d", status)
	}
	first.send(lastChunk)
	first.expect(204)
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.expectOut(ts(5, 1))
}

// Once counts publishers, not those that were refused; and the first may die.
func TestOnceDied(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Once: true, Tokens: tokens(t, "secret")})
	if status := r.post("/", strings.NewReader("x")); status != 401 {
		t.Error(status)
	}
	c := r.begin("POST /secret HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" +
		string(ts(5, 1)[:1000]))
	r.out.await(t, 5*mpegts.PacketSize)
	c.reset()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.expectOut(ts(5, 1)[:1000])
}

func TestIdle(t *testing.T) {
	t.Parallel()
	r := start(t, Options{IdleTimeout: 50 * time.Millisecond})
	c := r.begin(chunkedPost + "ffff\r\nhello")
	c.expect(408)
	r.out.await(t, 5)
	r.expectOut([]byte("hello"))
	r.expectLog("sent nothing for too long")
}

// A publisher that has to wait for the output is not idle.
func TestBlockedIsNotIdle(t *testing.T) {
	t.Parallel()
	r := start(t, Options{IdleTimeout: time.Second, Buffer: 1000})
	r.out.hold(true)
	c := r.begin(chunkedPost + chunk(bytes.Repeat([]byte("x"), 200<<10)))
	r.out.awaitHeld()
	time.Sleep(1200 * time.Millisecond)
	r.out.hold(false)
	c.send(lastChunk)
	c.expect(204)
}

func TestMaxBody(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789"), 1000)
	limit := int64(len(body))
	more := append(body[:limit:limit], 'x')
	r := start(t, Options{MaxBody: limit, Format: stream.Raw})
	want := []byte{}
	for _, c := range []struct {
		name   string
		body   io.Reader
		status int
		out    []byte
	}{
		{"counted, the most", bytes.NewReader(body), 204, body},
		{"counted, one more", bytes.NewReader(more), 413, nil},
		{"chunked, the most", chunks(body), 204, body},
		{"chunked, one more", chunks(more), 413, body},
	} {
		if status := r.post("/", c.body); status != c.status {
			t.Errorf("%s: %d", c.name, status)
		}
		r.awaitNoPublisher()
		want = append(want, c.out...)
		r.out.await(t, len(want))
		r.expectOut(want)
	}
	if d := r.counts().Dropped; d.Sum() != 0 {
		t.Errorf("dropped %+v", d)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Live: true, Buffer: 64 << 10})
	r.out.hold(true)
	body := ts(2000, 1)
	c := r.begin(chunkedPost)
	c.send(chunk(body))
	c.send(chunk(append([]byte("junk"), body[:100]...)) + lastChunk)
	r.awaitNoPublisher() // it was never made to wait
	r.out.hold(false)
	c.expect(204)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	n := r.counts()
	if n.In != int64(len(body))+104 || n.Dropped.Full == 0 || n.Dropped.Sync+n.Dropped.Torn != 104 {
		t.Errorf("counted as %+v", n)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Tokens: tokens(t, "secret")})
	get := func(method string) int {
		req, err := http.NewRequest(method, r.url("/healthz"), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := oneShot.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := get("GET"); status != 503 {
		t.Errorf("without a publisher: %d", status)
	}
	c := r.begin("POST /secret HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	r.awaitPublisher()
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "DELETE": 405} {
		if status := get(method); status != want {
			t.Errorf("%s: %d", method, status)
		}
	}
	if !strings.Contains(fmt.Sprint(r.server.Stats()), "publisher=127.0.0.1:") {
		t.Error("the stats do not name the publisher")
	}
	c.send(lastChunk)
	c.expect(204)
	if status := get("GET"); status != 503 {
		t.Errorf("behind the publisher: %d", status)
	}
}
