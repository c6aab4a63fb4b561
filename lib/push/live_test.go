package push

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// TestLiveLoses: with live, a connection that is lost costs what was not confirmed, and the next begins with a
// keyframe.
func TestLiveLoses(t *testing.T) {
	srv := newServer(t)
	again := make(chan struct{})
	srv.handle = func(c *connection) {
		if c.n == 0 {
			c.read(20_000)
			c.reset()
			return
		}
		close(again)
		c.read(-1)
	}
	g := tsgen.New(tsgen.Options{GOP: 4, KeyPackets: 10, FramePackets: 5})
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		for range 40 {
			_, _ = w.Write(g.Frame(nil))
		}
		<-again
		for range 8 {
			_, _ = w.Write(g.Frame(nil))
		}
	}()
	o, l := options(srv.url())
	o.Live = true
	o.Format = stream.TS
	s, err := run(t, o, r)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Out[0]; c.Dropped.Lost == 0 || c.Confirmed+c.Dropped.Sum() != c.In || c.Connects != 2 {
		t.Errorf("%+v", c)
	}
	if l.count("connection lost") != 1 {
		t.Errorf("%q", l.lines)
	}
}

// TestRawDropsWholeMessages: of a stream that is no MPEG-TS, what was read at once arrives as a whole or not at all.
func TestRawDropsWholeMessages(t *testing.T) {
	const size, count = 10_000, 3000
	srv := newServer(t)
	resume := make(chan struct{})
	srv.handle = func(c *connection) {
		<-resume
		c.read(-1)
	}
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		<-srv.arrived
		for n := range count {
			_, _ = w.Write(bytes.Repeat(binary.BigEndian.AppendUint64(nil, uint64(n)), size/8))
		}
		close(resume)
	}()
	o, _ := options(srv.url())
	o.Live, o.Format = true, stream.Raw
	s, err := run(t, o, r)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Out[0]; c.Dropped.Full == 0 || c.Dropped.Full%size != 0 || c.Confirmed+c.Dropped.Full != size*count {
		t.Errorf("%+v", c)
	}
	last := -1
	for got := srv.all()[0]; len(got) > 0; got = got[size:] {
		n := int(binary.BigEndian.Uint64(got))
		if n <= last || len(got) < size || !bytes.Equal(got[:size], bytes.Repeat(got[:8], size/8)) {
			t.Fatalf("after piece %d comes a part of one, or piece %d", last, n)
		}
		last = n
	}
	if last != count-1 {
		t.Errorf("the last piece is %d", last)
	}
}

// TestRecoveryIsPriced: the line that says that a connection is back says what was dropped since it was lost, not what
// had been before.
func TestRecoveryIsPriced(t *testing.T) {
	srv := newServer(t)
	srv.handle = func(c *connection) {
		if c.n < 3 {
			c.read(0)
			c.reset()
			return
		}
		c.read(-1)
	}
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		for n := range 4 {
			c := <-srv.arrived
			_, _ = w.Write(make([]byte, 1000*(n+1)))
			if n < 3 {
				<-c.conn.Done()
			}
		}
	}()
	o, l := options(srv.url())
	o.Live, o.Format = true, stream.Raw
	s, err := run(t, o, r)
	if err != nil {
		t.Fatal(err)
	}
	var dropped []int64
	var sum int64
	for _, v := range l.values("connected", "dropped") {
		dropped = append(dropped, v.(int64))
		sum += v.(int64)
	}
	if c := s.Out[0]; len(dropped) != 4 || sum != c.Dropped.Sum() || c.Dropped.Lost != 1000+2000+3000 {
		t.Errorf("the recoveries cost %d; %+v", dropped, c)
	}
}

// TestLiveNeverWaits: a server that stalls does not keep the input waiting.
func TestLiveNeverWaits(t *testing.T) {
	srv := newServer(t)
	srv.handle = func(c *connection) { <-srv.over.Done() }
	o, _ := options(srv.url())
	o.Live, o.Format, o.Linger = true, stream.TS, 10*time.Millisecond
	g := tsgen.New(tsgen.Options{GOP: 4, KeyPackets: 100, FramePackets: 50})
	frames := 0
	in := readerFunc(func(p []byte) (int, error) {
		if frames == 2000 { // 25 times the buffer, and several times what the kernel takes
			return 0, io.EOF
		}
		frames++
		return copy(p, g.Frame(nil)), nil
	})
	s, err := run(t, o, in)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Out[0]; c.Dropped.Full == 0 {
		t.Errorf("%+v", c)
	}
}
