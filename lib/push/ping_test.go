package push

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/gobwas/ws"
)

// TestPingsBeforeAQuarterIsUnconfirmed: when data comes fast, pings do not wait for their time.
func TestPingsBeforeAQuarterIsUnconfirmed(t *testing.T) {
	const piece = 32 << 10
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	arrived := make(chan struct{})
	type result struct {
		pings, longest int
		err            error
	}
	served := make(chan result, 1)
	go func() {
		pings, longest, err := servePings(ln, arrived)
		served <- result{pings, longest, err}
	}()

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
	got := <-served
	if got.err != nil || got.pings == 0 || got.longest >= int(o.Buffer/4) {
		t.Errorf("%d pings, %d bytes at most between two of them, %v", got.pings, got.longest, got.err)
	}
}

// servePings serves one connection. It tells arrived of each message, and returns how many bytes of messages came between
// two pings at most.
func servePings(ln net.Listener, arrived chan<- struct{}) (pings, longest int, err error) {
	defer close(arrived)
	conn, err := ln.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if _, err := ws.Upgrade(conn); err != nil {
		return 0, 0, err
	}
	since := 0
	for {
		frame, err := ws.ReadFrame(conn)
		if err != nil {
			return pings, longest, err
		}
		frame = ws.UnmaskFrameInPlace(frame)
		switch frame.Header.OpCode {
		case ws.OpBinary:
			since += len(frame.Payload)
			arrived <- struct{}{}
		case ws.OpPing:
			pings, longest, since = pings+1, max(longest, since), 0
			err = ws.WriteFrame(conn, ws.NewPongFrame(frame.Payload))
		case ws.OpClose:
			return pings, longest, ws.WriteFrame(conn, ws.NewCloseFrame(frame.Payload))
		default:
			err = errors.New("a frame that was not expected")
		}
		if err != nil {
			return pings, longest, err
		}
	}
}
