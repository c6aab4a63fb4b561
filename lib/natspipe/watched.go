package natspipe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// watchedConn is a connection that ends when the server or the network is dead. nats.go counts pings without an answer,
// and bounds each write as a whole: both take a slow link that is full for a dead one.
//
// A server is dead when no byte has come from it for silence. A ping asks for one every sixth of DeadAfter. For a
// publisher silence is two thirds of DeadAfter, so the answer may take half of it: it waits behind what is published.
// For a subscriber it is half, so the answer may take a third, and longer behind data, which count as well. The network
// is dead when it takes nothing for silence. While it takes little at a time, no ping can be sent, and the server need
// not answer.
//
// So with the 3 s of vw-nats a publisher leaves a frozen server after 2.0 s, and goes on when it has dialled the next
// one, which takes some round trips. A subscriber leaves it after 1.5 s, and has to ask what the stream retains: again
// after 0.05, 0.13, 0.24, 0.41 and 0.66 s if a frozen server was asked, as one third of the questions are with one of
// three: 2.2 s in all. Where the frozen server led the JetStream stream, what is missing is not retained: after 0.2 s
// the next group is waited for, so groups of one second make that 2.5 s. To that comes one second for each other frozen
// server that is tried first.
type watchedConn struct {
	net.Conn
	silence time.Duration

	mu      sync.Mutex
	watched bool
	until   time.Time // the server may be silent
	dead    error     // why Read has closed the connection
}

const (
	// pingsIn is how many pings are sent in DeadAfter.
	pingsIn = 6
	// writePiece is what a link that lives takes in much less than the limit.
	writePiece = 16 << 10
	// maxUnsent is how many bytes wait in the kernel at most. A ping waits behind them, and must have its answer in
	// time on a slow link too.
	maxUnsent = 16 << 10
)

// watch begins to limit how long the server may be silent. Before that, the limit of the dial counts.
func (c *watchedConn) watch() {
	c.mu.Lock()
	c.watched = true
	c.mu.Unlock()
	c.extend(c.silence, true) // for the Read that waits
}

// extend lets the server be silent for longer, from now on or from the limit that it has.
func (c *watchedConn) extend(d time.Duration, fromNow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fromNow {
		c.until = time.Now()
	}
	c.until = c.until.Add(d)
	if c.watched {
		_ = c.SetReadDeadline(c.until) // if it fails, so does Read
	}
}

func (c *watchedConn) Read(p []byte) (int, error) {
	c.extend(c.silence, true)
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no sign of life from the server for %v", c.silence)
		c.mu.Lock()
		c.dead = err
		c.mu.Unlock()
		_ = c.Close() // or nats.go would wait for a Write
	}
	return n, err
}

// SetWriteDeadline does nothing: Write has a limit of its own.
func (c *watchedConn) SetWriteDeadline(time.Time) error { return nil }

func (c *watchedConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		began := time.Now()
		if err = c.Conn.SetWriteDeadline(began.Add(c.silence)); err != nil {
			break
		}
		var m int
		m, err = c.Conn.Write(p[n:min(n+writePiece, len(p))])
		n += m
		if took := time.Since(began); took > time.Millisecond {
			c.extend(took, false) // nats.go could send no ping meanwhile
		}
	}
	if err != nil {
		c.mu.Lock()
		err = cmp.Or(c.dead, err)
		c.mu.Unlock()
	}
	return n, err
}
