package viewer

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConnections is how many connections may be open at a time that are not viewers.
const maxConnections = 256

// connections counts the connections of an http.Server, and knows when all are gone.
type connections struct {
	warn func(msg string, args ...any)

	running sync.WaitGroup
	mu      sync.Mutex
	open    []net.Conn // those that are no viewers, in the order in which they came
}

// changed is the server's ConnState. A connection that was taken over leaves when its handler says so.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if tooMany := c.add(conn); tooMany != nil {
			c.warn("connection closed: too many are open", "limit", maxConnections)
			_ = tooMany.Close() // the server notices, and the state becomes closed
		}
	case http.StateHijacked:
		c.removeOpen(conn)
	case http.StateClosed:
		c.removeOpen(conn)
		c.remove()
	}
}

// add returns the connection to close because there are too many, or nil: the one that came first.
func (c *connections) add(conn net.Conn) (tooMany net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.Add(1)
	c.open = append(c.open, conn)
	if len(c.open) > maxConnections {
		tooMany = c.open[0]
		c.open = slices.Delete(c.open, 0, 1)
	}
	return tooMany
}

func (c *connections) removeOpen(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.open, conn); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
}

func (c *connections) remove() { c.running.Done() }
