package ingest

import (
	"net"
	"net/http"
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
}

// changed is the server's ConnState. A connection that was taken over leaves when its handler says so.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if n := c.enter(); n > maxConnections {
			c.warn("connection closed: too many are open", "limit", maxConnections)
			_ = conn.Close() // the server notices, and the state becomes closed
		}
	case http.StateClosed:
		c.leave()
	}
}

func (c *connections) enter() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.Add(1)
	c.open++
	return c.open
}

func (c *connections) leave() {
	c.mu.Lock()
	c.open--
	c.mu.Unlock()
	c.running.Done()
}
