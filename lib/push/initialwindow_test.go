package push

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestInitialWindow: a connection that has answered nothing yet does not get all that waits; but what never answers
// gets it in the end.
func TestInitialWindow(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	blob := numbered(900_000) // less than the buffer
	type got struct {
		soon, all int
		err       error
	}
	served := make(chan got, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			served <- got{err: err}
			return
		}
		defer conn.Close()
		begun := time.Now() // before the pusher can begin
		_, err = ws.Upgrade(conn)
		var g got
		var last ws.Frame
		for err == nil {
			var frame ws.Frame
			if frame, err = ws.ReadFrame(conn); err != nil {
				break
			}
			frame = ws.UnmaskFrameInPlace(frame)
			switch frame.Header.OpCode {
			case ws.OpBinary:
				g.all += len(frame.Payload)
				if time.Since(begun) < initialPongTimeout/2 {
					g.soon = g.all
				}
			case ws.OpPing:
				last = frame
			case ws.OpClose:
				g.err = ws.WriteFrame(conn, ws.NewCloseFrame(frame.Payload))
				served <- g
				return
			}
			if g.all == len(blob) && last.Payload != nil {
				err = ws.WriteFrame(conn, ws.NewPongFrame(last.Payload))
				last.Payload = nil
			}
		}
		served <- got{err: err}
	}()

	o, _ := options("ws://" + ln.Addr().String())
	o.MaxMessage = 10_000
	s, err := run(t, o, bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	if g := <-served; g.err != nil || g.all != len(blob) || g.soon >= initialWindow+o.MaxMessage {
		t.Errorf("before it answered it got %d bytes soon, %d in all; %v", g.soon, g.all, g.err)
	}
	if s.Out[0].Connects != 1 {
		t.Errorf("%+v", s.Out[0])
	}
}
