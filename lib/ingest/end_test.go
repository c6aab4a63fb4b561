package ingest

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// The first signal cuts the publisher; what was read of it is delivered to the last byte, for nothing follows.
func TestStopDeliversWhatWasRead(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	part := ts(5, 1)[:1000]
	c := r.begin(chunkedPost + "ffff\r\n" + string(part))
	r.out.await(t, 5*mpegts.PacketSize)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	c.expect(503)
	r.expectOut(part)
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("still listening")
	}
}

func TestStopLive(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Live: true})
	r.begin(chunkedPost + "ffff\r\n" + string(ts(5, 1)[:1000]))
	r.out.await(t, 5*mpegts.PacketSize)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.expectOut(ts(5, 1)[:5*mpegts.PacketSize])
	if d := r.counts().Dropped; d != (stream.Dropped{Torn: 1000 - 5*mpegts.PacketSize}) {
		t.Errorf("dropped %+v", d)
	}
}

// While what is held is being delivered, a complete publisher still gets its 204.
func TestStopWhileDelivering(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	r.out.hold(true)
	c := r.begin(chunkedPost + chunk(ts(50, 1)) + lastChunk)
	r.out.awaitHeld()
	r.awaitNoPublisher()
	r.soft(nil)
	r.eventually("it stops", func() bool { _, err := net.Dial("tcp", r.addr); return err != nil })
	r.out.hold(false)
	c.expect(204)
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.expectOut(ts(50, 1))
}

func TestLinger(t *testing.T) {
	t.Parallel()
	for name, blocked := range map[string]int{"in the queue": 5000, "also in front of it": 200 << 10} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{Linger: 50 * time.Millisecond, Buffer: 10000})
			r.out.hold(true)
			c := r.begin(chunkedPost + "fffff\r\n" + strings.Repeat("x", blocked))
			r.out.awaitHeld()
			r.eventually("it was read", func() bool { return r.counts().In > 0 })
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			c.expect(503)
			n := r.counts()
			if n.Confirmed != 0 || n.Dropped.Exit+n.Dropped.Lost != n.In {
				t.Errorf("counted as %+v", n)
			}
			r.expectLog("gave up delivering")
		})
	}
}

func TestImmediateShutdown(t *testing.T) {
	t.Parallel()
	reason := errors.New("told twice")
	r := start(t, Options{})
	r.out.hold(true)
	c := r.begin(chunkedPost + chunk([]byte("hello")) + lastChunk)
	r.out.awaitHeld()
	r.awaitNoPublisher()
	r.soft(nil)
	r.hard(reason)
	if err := r.await(); err != reason {
		t.Errorf("returned %v", err)
	}
	c.expect(503)
	if d := r.counts().Dropped; d != (stream.Dropped{Lost: 5}) {
		t.Errorf("dropped %+v", d)
	}
}

// The reader of the output may go while nothing is being written.
func TestOutputGone(t *testing.T) {
	t.Parallel()
	t.Run("without a publisher", func(t *testing.T) {
		r := start(t, Options{})
		close(r.out.gone)
		if err := r.await(); err != ErrOutputGone {
			t.Errorf("returned %v", err)
		}
	})
	t.Run("while the publisher pauses", func(t *testing.T) {
		r := start(t, Options{})
		c := r.begin(chunkedPost)
		r.awaitPublisher()
		close(r.out.gone)
		if err := r.await(); err != ErrOutputGone {
			t.Errorf("returned %v", err)
		}
		c.expect(503)
	})
	t.Run("while it is written to", func(t *testing.T) {
		r := start(t, Options{Buffer: 1000})
		r.out.hold(true)
		c := r.begin(chunkedPost)
		go func() {
			for {
				if _, err := io.WriteString(c, chunk(make([]byte, 10000))); err != nil {
					return
				}
			}
		}()
		r.out.awaitHeld()
		close(r.out.gone)
		if err := r.await(); err != ErrOutputGone {
			t.Errorf("returned %v", err)
		}
		if strings.Contains(r.log.String(), "level=WARN") {
			t.Error("there is noise in the log:\n" + r.log.String())
		}
	})
}

// brokenOutput fails as a full disk does.
type brokenOutput struct{ *sink }

var errFull = errors.New("no space left on device")

func (brokenOutput) Write([]byte) (int, error) { return 0, errFull }

func TestOutputFails(t *testing.T) {
	t.Parallel()
	r := start(t, Options{}, func(r *rig) { r.server.o.Output = brokenOutput{r.out} })
	c := r.begin(chunkedPost + chunk([]byte("hello")))
	if err := r.await(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "write the stream") {
		t.Errorf("returned %v", err)
	}
	c.expect(503)
	if d := r.counts().Dropped; d != (stream.Dropped{Lost: 5}) {
		t.Errorf("dropped %+v", d)
	}
}

// crampedOutput takes some bytes of each write and fails, as long as it has cramps left.
type crampedOutput struct {
	*sink
	cramps *atomic.Int32
}

func (o crampedOutput) Write(p []byte) (int, error) {
	if o.cramps.Add(-1) < 0 {
		return o.sink.Write(p)
	}
	n, _ := o.sink.Write(p[:min(len(p), 100)])
	return n, errFull
}

// With Live a disk that is full for a while costs nothing that the queue can hold, and tears no packet.
func TestLiveOutlivesOutput(t *testing.T) {
	t.Parallel()
	var cramps atomic.Int32
	cramps.Store(3)
	r := start(t, Options{Live: true}, func(r *rig) {
		r.server.o.Output = crampedOutput{r.out, &cramps}
		r.server.pause = time.Millisecond
	})
	if status := r.post("/", chunks(ts(50, 1))); status != 204 {
		t.Error(status)
	}
	r.expectOut(ts(50, 1))
	r.expectLog("tried again")
	if c := r.counts(); c.Confirmed != int64(len(ts(50, 1))) {
		t.Errorf("counted as %+v", c)
	}
}

// If the output never recovers, a server that is stopped gives up after Linger.
func TestLiveOutputNeverRecovers(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Live: true, Linger: 50 * time.Millisecond}, func(r *rig) {
		r.server.o.Output = brokenOutput{r.out}
		r.server.pause = time.Hour
	})
	r.begin(chunkedPost + chunk(ts(5, 1)))
	r.expectLog("tried again")
	if err := r.stop(); err != nil {
		t.Errorf("returned %v", err)
	}
	if c := r.counts(); c.In == 0 || c.Dropped.Sum() != c.In {
		t.Errorf("counted as %+v", c)
	}
}

func TestListenerFails(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	r.begin(chunkedPost)
	r.awaitPublisher()
	r.server.o.Listeners[0].Close()
	if err := r.await(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("returned %v", err)
	}
}

// A fault in this program is logged, and ends nothing but the request.
func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Tokens: new(access.Tokens)}) // which has no set
	c := r.begin("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
	_, _ = c.in.Peek(1)
	r.expectLog("level=ERROR")
	if resp := r.begin("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").answer(); resp.StatusCode != 503 {
		t.Error(resp.Status)
	}
}
