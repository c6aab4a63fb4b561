package ingest

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConnections is how many connections may be open at a time. One publishes; the others are refused, or have not
// said yet what they want, for which they have headerTimeout.
const maxConnections = 256

// connections counts the connections of an http.Server, and knows when all are gone.
type connections struct {
	warn func(msg string, args ...any)

	running sync.WaitGroup
	mu      sync.Mutex
	open    int
	waiting []net.Conn // those that have not said yet what they want, in the order in which they came
}

// changed is the server's ConnState. A connection that was taken over leaves when its handler says so.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if tooMany := c.enter(conn); tooMany != nil {
			c.warn("connection closed: too many are open", "limit", maxConnections)
			_ = tooMany.Close() // the server notices, and the state becomes closed
		}
	case http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waitsNoMore(conn)
	case http.StateClosed:
		c.mu.Lock()
		c.waitsNoMore(conn)
		c.mu.Unlock()
		c.leave()
	}
}

// enter returns the connection to close because there are too many, or nil. That is the one that has waited longest: a
// publisher says at once what it wants, and must get in also when somebody holds as many as he can get.
func (c *connections) enter(conn net.Conn) (tooMany net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.Add(1)
	c.open++
	c.waiting = append(c.waiting, conn)
	if c.open > maxConnections {
		tooMany = c.waiting[0]
		c.waitsNoMore(tooMany)
	}
	return tooMany
}

// waitsNoMore takes a connection out of those that wait. c.mu is held.
func (c *connections) waitsNoMore(conn net.Conn) {
	if i := slices.Index(c.waiting, conn); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}

func (c *connections) leave() {
	c.mu.Lock()
	c.open--
	c.mu.Unlock()
	c.running.Done()
}
