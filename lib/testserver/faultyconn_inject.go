package testserver

import (
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	floodMessage = 64 << 10 // bytes
	floodPing    = 125      // bytes
	// slowBuffer is the kernel's receive buffer of a slow reader, in bytes. Less than a segment on loopback (64 KiB)
	// would make the sender wait for timers.
	slowBuffer   = 128 << 10
	slowTick     = 50 * time.Millisecond // a slow reader reads at once what its rate allows in this time
	goneInterval = 20 * time.Millisecond // between two looks at whether the peer has gone
)

// awaitClose waits for the peer's close frame or its end after this side has sent one, and returns how the connection
// ended: as sent unless the peer answered.
func (c *faultyConn) awaitClose(sent *closedByServer) error {
	c.pending = nil
	limit := time.AfterFunc(closeTimeout, func() { c.conn.Close() })
	defer limit.Stop()
	var err error
	if c.left > 0 { // the fault was injected within a frame
		err = c.skipFrame()
	}
	for {
		if err == nil {
			err = c.nextDataFrame()
		}
		if err == nil {
			err = c.skipFrame()
		}
		switch err.(type) {
		case nil:
			continue
		case net.Error:
			return sent
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return sent
		}
		return err
	}
}

// skipFrame handles the rest of a control frame, and discards that of a data frame.
func (c *faultyConn) skipFrame() error {
	if c.frame.Control() {
		return c.handleControl()
	}
	_, err := io.CopyN(io.Discard, c.r, c.left)
	c.left = 0
	c.inMessage = !c.frame.Final
	return err
}

// stall reads nothing until the time is over, or without one (0) until the peer has gone. Faults that are due by time
// are injected meanwhile.
func (c *faultyConn) stall(d time.Duration) error {
	end := time.Now().Add(d)
	for {
		next := c.nextDue()
		if d > 0 && (next.IsZero() || end.Before(next)) {
			next = end
		}
		if c.hold(next, d == 0) {
			if d == 0 || isClosed(c.stop) {
				return &closedByServer{code: wsconn.StatusAbnormalClosure}
			}
			return nil // the peer has reset the connection: what came before can still be read
		}
		if d > 0 && !time.Now().Before(end) {
			return nil
		}
		if err := c.injectDue(); err != nil {
			return err
		}
	}
}

// hold does nothing until then (zero: for ever), and reports whether the peer went or the server ended before that. A
// peer that has closed its half may wait for an answer: halfClosed says whether it counts as gone.
func (c *faultyConn) hold(until time.Time, halfClosed bool) (ended bool) {
	var timeout <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timeout = t.C
	}
	look := time.NewTicker(goneInterval)
	defer look.Stop()
	for {
		select {
		case <-timeout:
			return false
		case <-c.stop:
			return true
		case <-look.C:
			if t := tcpOf(c.conn); t != nil && hasGone(t, halfClosed) {
				return true
			}
		}
	}
}

// reset resets the TCP connection.
func (c *faultyConn) reset() error {
	if t := tcpOf(c.conn); t != nil {
		_ = t.SetLinger(0)
		t.Close() // before TLS could send an alert
	}
	c.conn.Close()
	return &closedByServer{code: wsconn.StatusAbnormalClosure}
}

// closeTCP closes the TCP connection in order. It reads for a moment what is still on its way from the peer, because
// closing before that would be a reset.
func (c *faultyConn) closeTCP() error {
	if t := tcpOf(c.conn); t != nil {
		_ = t.CloseWrite()
		drain(c.conn, c.r, closeTimeout, c.stop)
	}
	c.conn.Close()
	return &closedByServer{code: wsconn.StatusAbnormalClosure}
}

// startFlood sends a frame again and again in a goroutine of its own, unless the connection has been stopped.
func (c *faultyConn) startFlood(d time.Duration, frame []byte) {
	end := time.Now().Add(d)
	c.stopMu.Lock()
	defer c.stopMu.Unlock()
	if isClosed(c.stop) {
		return // CloseNow waits only for floods that started before
	}
	c.flood.Go(func() {
		for time.Now().Before(end) {
			if c.write(frame) != nil { // Close and CloseNow end it
				c.conn.Close() // part of a frame was written
				return
			}
		}
	})
}

// tcpOf returns the TCP connection under a connection, nil if there is none.
func tcpOf(conn net.Conn) *net.TCPConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	t, _ := conn.(*net.TCPConn)
	return t
}
