package ingest

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/access"
)

const (
	// maxWaiting is how many connections may be open that have not sent their header. Each holds a header's memory at
	// most.
	maxWaiting = 256
	// maxAuthorized is how many connections may be open that may publish, and do or wait for their turn.
	maxAuthorized = 256
)

// connState is how far a connection has come.
type connState int

const (
	waiting    connState = iota // for the TLS handshake or the header
	answering                   // a request that does not publish, or is refused
	authorized                  // to publish
	closing                     // its stream has ended

	connStates
)

var stateNames = [connStates]string{"waiting", "answering", "publishing", "closing"}

// connection is one client.
type connection struct {
	net.Conn          // TLS over raw, or raw
	raw      net.Conn // TCP or a unix socket
	remote   string   // as it may be logged
	// addr is the address that the connection counts for, if limited. A trusted proxy's requests name it.
	addr    netip.Addr // protected by connections.mu; its own goroutine may read it
	limited bool

	state      connState // protected by connections.mu
	handedOver bool      // to the lingering ones, which close it
}

// connections are those that are open.
type connections struct {
	perAddress *access.PerAddress

	running sync.WaitGroup // one for each connection
	mu      sync.Mutex
	all     map[*connection]struct{}
	counts  [connStates]int
	total   int           // so far
	waiting []*connection // the oldest first
	recent  recent
	stopped bool // no connection may wait any more
}

// add adds a connection that waits, and reports whether there is room for it: there is none if its address has too
// many. evicted, unless nil, is a connection that must be closed instead: the oldest that waits of the network that has
// opened the most lately. A publisher comes once, so it gets in although others open as many connections as they can.
func (c *connections) add(conn *connection) (evicted *crowded, ok bool) {
	if conn.limited && !c.perAddress.Enter(conn.addr) {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		c.leaveAddress(conn)
		return nil, false
	}
	if len(c.waiting) >= maxWaiting {
		evicted = c.crowd()
		c.removeWaiting(evicted.conn)
	}
	c.recent.add(access.Network(conn.addr), time.Now())
	c.running.Add(1)
	c.all[conn] = struct{}{}
	c.waiting = append(c.waiting, conn)
	c.counts[waiting]++
	c.total++
	return evicted, true
}

// crowded is a connection that there is no room for.
type crowded struct {
	conn *connection
	addr netip.Addr
	open int // how many of its network wait
}

// crowd returns the oldest connection that waits of the network that has opened the most lately. c.mu is held.
func (c *connections) crowd() *crowded {
	most := &crowded{conn: c.waiting[0]}
	opened := 0
	for _, conn := range c.waiting {
		if n := c.recent.counts[access.Network(conn.addr)]; n > opened {
			most.conn, opened = conn, n
		}
	}
	most.addr = most.conn.addr
	for _, conn := range c.waiting {
		if access.Network(conn.addr) == access.Network(most.addr) {
			most.open++
		}
	}
	return most
}

// set changes the state of a connection. It reports whether there is room in that state.
func (c *connections) set(conn *connection, state connState) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == authorized && c.counts[authorized] >= maxAuthorized {
		return false
	}
	c.counts[conn.state]--
	c.counts[state]++
	conn.state = state
	if state == authorized {
		c.recent.forget(access.Network(conn.addr))
	}
	if state != waiting {
		c.removeWaiting(conn)
	}
	return true
}

// countAddress counts a connection for the address that its request names, and reports whether that may have another
// one.
func (c *connections) countAddress(conn *connection, addr netip.Addr, limited bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.addr = addr
	if limited && !conn.limited {
		conn.limited = c.perAddress.Enter(addr)
		return conn.limited
	}
	return true
}

func (c *connections) leaveAddress(conn *connection) {
	if conn.limited {
		c.perAddress.Leave(conn.addr)
		conn.limited = false
	}
}

// removeWaiting removes a connection from those that wait, if it is one. c.mu is held.
func (c *connections) removeWaiting(conn *connection) {
	if i := slices.Index(c.waiting, conn); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}

func (c *connections) remove(conn *connection) {
	c.leaveAddress(conn)
	c.mu.Lock()
	c.counts[conn.state]--
	c.removeWaiting(conn)
	delete(c.all, conn)
	c.mu.Unlock()
	c.running.Done()
}

// stop closes the connections that wait, and those to come.
func (c *connections) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for _, conn := range c.waiting {
		_ = conn.raw.Close()
	}
}

// closeAll closes all connections. Their goroutines end by that.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.all {
		_ = conn.raw.Close()
	}
}

// Connections returns how many connections are open, and how many there have been.
func (s *Server) Connections() (open, all int) {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	return len(s.conns.all), s.conns.total
}

// open returns how many connections are open in each state.
func (c *connections) open() [connStates]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}
