package push

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

// TestPingsBeforeAQuarterIsUnconfirmed: when data comes fast, pings do not wait for their time. On a busy machine the
// pong of the one before may be late, and then so is the next ping.
func TestPingsBeforeAQuarterIsUnconfirmed(t *testing.T) {
	testwait.AtBest(t, func() error {
		got, quarter := pushFast(t)
		if got.err != nil || got.pings == 0 || got.bytes >= quarter {
			return fmt.Errorf("%+v, want fewer than %d bytes between two pings", got, quarter)
		}
		return nil
	})
}

// pushFast pushes as fast as the server reads, and returns what the server had of it and a quarter of the buffer.
func pushFast(t *testing.T) (got pinged, quarter int) {
	const piece = 32 << 10
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	arrived, served := make(chan struct{}), make(chan pinged, 1)
	go func() { served <- servePings(ln, arrived) }()

	o, _ := options("ws://" + ln.Addr().String())
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		for range 128 {
			if _, err := w.Write(make([]byte, piece)); err != nil {
				return
			}
			<-arrived
		}
	}()
	if _, err := run(t, o, r); err != nil {
		t.Fatal(err)
	}
	return <-served, int(o.Buffer / 4)
}

// TestPingsEverySecond: while data flows, however thinly, there is a ping at least once a second.
func TestPingsEverySecond(t *testing.T) {
	t.Parallel()
	testwait.AtBest(t, func() error {
		got := pushThinly(t)
		if got.err != nil || got.pause > time.Second {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// pushThinly pushes at a camera's pace, and returns what the server had of it.
func pushThinly(t *testing.T) pinged {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	arrived, served := make(chan struct{}), make(chan pinged, 1)
	go func() { served <- servePings(ln, arrived) }()
	o, _ := options("ws://" + ln.Addr().String())
	o.DeadAfter, o.Format = time.Hour, stream.Raw
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		for range 60 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
			<-arrived
			time.Sleep(40 * time.Millisecond) // a camera's pace
		}
	}()
	if _, err := run(t, o, r); err != nil {
		t.Fatal(err)
	}
	return <-served
}

// pinged is what a connection had in the way of pings.
type pinged struct {
	pings int
	bytes int           // of messages between two of them, at most
	pause time.Duration // the longest, from the first message on
	err   error
}

// acceptOne takes a connection and answers its handshake.
func acceptOne(ln net.Listener) (net.Conn, error) {
	conn, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	if _, err := ws.Upgrade(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// servePings serves one connection, and sends on arrived for each message.
func servePings(ln net.Listener, arrived chan<- struct{}) (p pinged) {
	defer close(arrived)
	conn, err := acceptOne(ln)
	if err != nil {
		return pinged{err: err}
	}
	defer conn.Close()
	bytes, last := 0, time.Now()
	for p.err == nil {
		frame, err := ws.ReadFrame(conn)
		if err != nil {
			p.err = err
			break
		}
		frame = ws.UnmaskFrameInPlace(frame)
		switch frame.Header.OpCode {
		case ws.OpBinary:
			bytes += len(frame.Payload)
			arrived <- struct{}{}
		case ws.OpPing:
			p.pings++
			p.bytes, p.pause = max(p.bytes, bytes), max(p.pause, time.Since(last))
			bytes, last = 0, time.Now()
			p.err = ws.WriteFrame(conn, ws.NewPongFrame(frame.Payload))
		case ws.OpClose:
			p.err = ws.WriteFrame(conn, ws.NewCloseFrame(frame.Payload))
			return p
		default:
			p.err = errors.New("a frame that was not expected")
		}
	}
	return p
}
