package ingest

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConnections is how many connections may be open at a time. One publishes; the others are being refused, or have not
// sent their header yet.
const maxConnections = 256

// connections counts the connections of an http.Server, and can wait until all have gone.
type connections struct {
	warn func(msg string, args ...any)

	running sync.WaitGroup
	mu      sync.Mutex
	open    int
	idle    []net.Conn // those that have not sent their header, the oldest first
}

// changed is the server's ConnState. The handler of a hijacked connection calls remove itself.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if tooMany := c.add(conn); tooMany != nil {
			c.warn("connection closed: too many are open", "limit", maxConnections)
			_ = tooMany.Close() // the server notices, and the state becomes closed
		}
	case http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.removeIdle(conn)
	case http.StateClosed:
		c.mu.Lock()
		c.removeIdle(conn)
		c.mu.Unlock()
		c.remove()
	}
}

// add returns the connection to close because there are too many, or nil. That is the one that has been idle longest: a
// publisher sends its header at once, and must get in although somebody holds as many connections as he can get.
func (c *connections) add(conn net.Conn) (tooMany net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.Add(1)
	c.open++
	c.idle = append(c.idle, conn)
	if c.open > maxConnections {
		tooMany = c.idle[0]
		c.removeIdle(tooMany)
	}
	return tooMany
}

// removeIdle removes a connection from the idle ones, if it is one. c.mu is held.
func (c *connections) removeIdle(conn net.Conn) {
	if i := slices.Index(c.idle, conn); i >= 0 {
		c.idle = slices.Delete(c.idle, i, i+1)
	}
}

func (c *connections) remove() {
	c.mu.Lock()
	c.open--
	c.mu.Unlock()
	c.running.Done()
}
