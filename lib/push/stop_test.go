package push

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

// TestStopsInTime: whatever the peer does, the end comes Linger and a second after the signal.
func TestStopsInTime(t *testing.T) {
	for _, live := range []bool{false, true} {
		testwait.AtBest(t, func() error { return stopInTime(t, live) })
	}
}

// stopInTime stops a pusher whose server reads nothing. It returns an error if that took too long.
func stopInTime(t *testing.T, live bool) error {
	srv := newServer(t)
	srv.handle = func(c *connection) { <-srv.over.Done() }
	o, _ := options(srv.url())
	o.Live, o.Linger = live, 300*time.Millisecond
	soft, signal := context.WithCancel(context.Background())
	r, w := io.Pipe()
	defer r.Close()
	go func() {
		blob := make([]byte, 100_000)
		for {
			if _, err := w.Write(blob); err != nil {
				return
			}
		}
	}()
	begun := make(chan time.Time, 1)
	go func() {
		<-srv.arrived
		begun <- time.Now()
		signal()
	}()
	s, err := runUntil(t, soft, soon(t), o, &stoppable{r})
	took := time.Since(<-begun)
	if err != nil || s.Dropped() == 0 {
		t.Errorf("live %v: %v, %+v; nothing arrived, so something must be dropped", live, err, s.Out)
	}
	if took > o.Linger+time.Second {
		return fmt.Errorf("live %v: it took %v", live, took)
	}
	return nil
}

// TestStoppedAccounts: when one destination keeps the input waiting until the end, the others count it too.
func TestStoppedAccounts(t *testing.T) {
	refuses, takes := newServer(t), newServer(t)
	refuses.check = func(*http.Request) int { return http.StatusServiceUnavailable }
	o, _ := options(refuses.url(), takes.url())
	o.Format, o.Buffer, o.Linger = stream.Raw, 128<<10, 100*time.Millisecond
	soft, signal := context.WithCancel(context.Background())
	r, w := io.Pipe()
	go func() {
		for n := 0; ; n++ {
			if n == 9 { // there is room for eight
				signal()
			}
			if _, err := w.Write(make([]byte, 16<<10)); err != nil {
				return
			}
		}
	}()
	if _, err := runUntil(t, soft, soon(t), o, &stoppable{r}); err != nil { // which looks at the ledger
		t.Fatal(err)
	}
	r.Close()
}

// TestEndsInAPause: an input that ends while there is no connection, and with nothing left to deliver, ends the run.
func TestEndsInAPause(t *testing.T) {
	srv := newServer(t)
	o, l := options(srv.url())
	o.Format, o.BackoffMin, o.BackoffMax = stream.Raw, time.Hour, time.Hour
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		_, _ = w.Write([]byte("all of it"))
		c := <-srv.arrived
		testwait.Poll(func() bool { return o.Ledger.Snapshot(false).Out[0].Confirmed > 0 })
		c.reset()
		testwait.Poll(func() bool { return l.count("connection lost") > 0 })
	}()
	if s, err := run(t, o, r); err != nil || s.Out[0].Confirmed != 9 {
		t.Errorf("%+v, %v", s.Out[0], err)
	}
}

// TestStopsDuringClose: a peer that breaks the protocol, and then does not hang up when it is asked to, does not
// keep a pusher from ending.
func TestStopsDuringClose(t *testing.T) {
	testwait.AtBest(t, func() error { return stopDuringClose(t) })
}

func stopDuringClose(t *testing.T) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := options("ws://" + ln.Addr().String())
	o.Linger, o.BackoffMin, o.BackoffMax = 0, time.Hour, time.Hour
	soft, stop := context.WithCancel(context.Background())
	begun := make(chan time.Time, 1)
	over, served := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(served)
		conn, err := acceptOne(ln)
		if err != nil {
			return
		}
		defer conn.Close()
		begun <- time.Now()
		stop()
		time.Sleep(drainGrace * 3 / 5)          // so that there is less time left than the closing handshake takes
		_, _ = conn.Write([]byte{0xF2, 1, 'x'}) // RSV bits that mean nothing
		<-over
	}()
	r, w := io.Pipe()
	go func() {
		<-soft.Done()
		_, _ = w.Write([]byte("x"))
		w.Close()
	}()
	_, err = runUntil(t, soft, soon(t), o, r)
	took := time.Since(<-begun)
	r.Close() // the byte may not have been read
	close(over)
	ln.Close()
	<-served
	if err != nil {
		t.Error(err)
	}
	if took > o.Linger+time.Second {
		return fmt.Errorf("it took %v", took)
	}
	return nil
}

// TestEndInTime: when all has been confirmed, and only the peer's close frame does not come in time, nothing is
// logged about bytes that could not be delivered.
func TestEndInTime(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := acceptOne(ln)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			frame, err := ws.ReadFrame(conn)
			if err != nil {
				return
			}
			if frame.Header.OpCode == ws.OpPing {
				_ = ws.WriteFrame(conn, ws.NewPongFrame(ws.UnmaskFrameInPlace(frame).Payload))
			}
		}
	}()
	o, l := options("ws://" + ln.Addr().String())
	o.Live, o.Linger = true, 100*time.Millisecond
	s, err := run(t, o, strings.NewReader("all of it"))
	if err != nil || s.Out[0].Confirmed != 9 {
		t.Errorf("%+v, %v", s.Out[0], err)
	}
	if n := l.count("no time left to deliver all that was read"); n != 0 {
		t.Errorf("%q", l.lines)
	}
	<-served
}
