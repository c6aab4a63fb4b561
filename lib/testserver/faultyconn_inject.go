package testserver

import (
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws"
)

const (
	floodMessage = 64 << 10 // bytes
	floodPing    = 125      // bytes
	// slowBuffer is how many bytes the kernel takes ahead of a slow reader. Less than a segment on loopback (64 KiB) makes
	// the sender wait for timers.
	slowBuffer   = 128 << 10
	slowTick     = 50 * time.Millisecond // a slow reader reads as much at once as it may in this time
	lookInterval = 20 * time.Millisecond
)

// do makes a fault happen. An error ends the connection.
func (c *rawConn) do(f *Fault) error {
	switch f.Do {
	case Reset:
		return c.reset()
	case AcceptThenClose:
		return c.finish()
	case CloseFrame, CloseThenSilent:
		if err := c.send(closeFrame(f)); err != nil {
			return err
		}
		if f.Do == CloseFrame {
			return c.answered(f)
		}
		limit := time.Now().Add(f.For)
		c.drain(f.For)
		c.pause(time.Until(limit)) // the peer may have closed its half; this one stays open
		return &ownClose{f.Code, f.Reason}
	case Stall:
		return c.stall(f.For)
	case HalfOpen:
		var until time.Time
		if f.For > 0 {
			until = time.Now().Add(f.For)
		}
		c.hold(until, true)
		return c.reset()
	case Slow:
		if t := tcpOf(c.conn); t != nil {
			_ = t.SetReadBuffer(slowBuffer) // it is only slower to take effect without
		}
		c.rate, c.rated = f.Rate, time.Now()
	case NoPong:
		c.noPong = true
	case LatePong:
		c.latePong = f.For
	case SendText:
		return c.send(ws.NewTextFrame([]byte("a text message, on purpose")))
	case SendFlood:
		c.startFlood(f.For, ws.NewBinaryFrame(make([]byte, floodMessage)))
	case PingFlood:
		c.startFlood(f.For, ws.NewPingFrame(make([]byte, floodPing)))
	case BigPing:
		return c.send(ws.NewPingFrame(make([]byte, f.Size)))
	case BadFrame:
		return c.send(badFrame(f.Kind))
	case Truncate:
		frame := ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, 1000)))
		c.write.Lock()
		_, err := c.conn.Write(frame[:len(frame)/2])
		c.write.Unlock()
		if err != nil {
			return err
		}
		return c.finish()
	}
	return nil
}

func closeFrame(f *Fault) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(f.Code), f.Reason))
}

func badFrame(kind string) ws.Frame {
	f := ws.NewBinaryFrame([]byte("a bad frame, on purpose"))
	switch kind {
	case "opcode":
		f.Header.OpCode = 0x3
	case "masked":
		return ws.MaskFrame(f)
	case "continuation":
		f.Header.OpCode = ws.OpContinuation
	default:
		f.Header.Rsv = ws.Rsv(true, false, false)
	}
	return f
}

// answered waits for the peer's close frame, or for its end.
func (c *rawConn) answered(f *Fault) error {
	c.steps = nil
	limit := time.AfterFunc(closePatience, func() { c.conn.Close() })
	defer limit.Stop()
	var err error
	if c.left > 0 { // the fault happens within a frame
		err = c.skip()
	}
	for {
		if err == nil {
			err = c.next()
		}
		if err == nil {
			err = c.skip()
		}
		switch err.(type) {
		case nil:
			continue
		case net.Error:
			return &ownClose{f.Code, f.Reason}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return &ownClose{f.Code, f.Reason}
		}
		return err
	}
}

// skip takes what is left of a frame, and throws it away if it is data.
func (c *rawConn) skip() error {
	if c.frame.OpCode.IsControl() {
		return c.control(c.frame.OpCode)
	}
	_, err := io.CopyN(io.Discard, c.r, c.left)
	c.left = 0
	c.inMessage = !c.frame.Fin
	return err
}

// drain reads until the peer has gone, the time is over (0: none), or the server ends.
func (c *rawConn) drain(d time.Duration) {
	if d > 0 {
		c.conn.SetReadDeadline(time.Now().Add(d))
	} else {
		c.conn.SetReadDeadline(time.Time{})
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, c.r) // how it ended does not matter
	}()
	select {
	case <-gone:
	case <-c.stop:
		c.conn.Close()
		<-gone
	}
}

// stall reads nothing until the time is over, or without one (0) until the peer has gone. What is due by time happens
// meanwhile.
func (c *rawConn) stall(d time.Duration) error {
	end := time.Now().Add(d)
	for {
		next := c.nextDue()
		if d > 0 && (next.IsZero() || end.Before(next)) {
			next = end
		}
		if c.hold(next, d == 0) {
			if d == 0 || isClosed(c.stop) {
				return &ownClose{code: codeAbnormal}
			}
			return nil // a reset: what came before it can still be read
		}
		if d > 0 && !time.Now().Before(end) {
			return nil
		}
		if err := c.due(); err != nil {
			return err
		}
	}
}

// hold does nothing until then (zero: for ever), and reports whether the peer went, or the server ended, before. A peer
// that has closed its half may wait for an answer: half says whether it counts as gone.
func (c *rawConn) hold(until time.Time, half bool) (ended bool) {
	var timeout <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timeout = t.C
	}
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		select {
		case <-timeout:
			return false
		case <-c.stop:
			return true
		case <-look.C:
			if t := tcpOf(c.conn); t != nil && hasGone(t, half) {
				return true
			}
		}
	}
}

func (c *rawConn) reset() error {
	if t := tcpOf(c.conn); t != nil {
		_ = t.SetLinger(0)
		t.Close() // of TLS no more is sent either
	}
	c.conn.Close()
	return &ownClose{code: codeAbnormal}
}

// finish ends the TCP connection in order. What is still on its way from the peer is read for a moment: closing before
// that would be a reset.
func (c *rawConn) finish() error {
	if t := tcpOf(c.conn); t != nil {
		_ = t.CloseWrite()
		c.drain(closePatience)
	}
	c.conn.Close()
	return &ownClose{code: codeAbnormal}
}

// startFlood sends a frame again and again, apart from the reading, unless the connection is at its end.
func (c *rawConn) startFlood(d time.Duration, f ws.Frame) {
	frame := ws.MustCompileFrame(f)
	end := time.Now().Add(d)
	c.halting.Lock()
	defer c.halting.Unlock()
	if isClosed(c.stop) {
		return // CloseNow waits for the floods that there are
	}
	c.flood.Go(func() {
		for time.Now().Before(end) {
			c.write.Lock()
			_, err := c.conn.Write(frame) // Close and CloseNow end it
			c.write.Unlock()
			if err != nil {
				c.conn.Close() // a frame is torn
				return
			}
		}
	})
}

// tcpOf returns what is under a connection.
func tcpOf(conn net.Conn) *net.TCPConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	t, _ := conn.(*net.TCPConn)
	return t
}
