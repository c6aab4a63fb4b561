//go:build linux

package test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// link is a TCP proxy that does to its connections what bad networks do. Where each connection goes and how far it gets
// is decided when it comes in.
type link struct {
	ln   net.Listener
	url  string
	plan func(n int) plan
	// due gets each connection that has carried as many bytes towards the server as its plan has.
	due chan *carried

	mu       sync.Mutex
	all      []*carried
	used     map[string]bool // addresses
	passable chan struct{}   // closed while anything is carried at all
	rate     int             // what is carried towards the server, in bytes a second; 0: all that is possible
	tasks    sync.WaitGroup
}

// plan is what is to become of a connection.
type plan struct {
	to    string // host:port
	after int64  // the bytes towards the server until it is due; 0: never
	halt  bool   // when it is due, not one byte more is carried either way
	fault fault
}

// carried is one connection of a link.
type carried struct {
	plan   plan
	n      int // from 0
	client *net.TCPConn
	halted chan struct{} // closed when nothing is carried any more
	over   chan struct{} // closed when it was cut
	cutOne sync.Once

	server *net.TCPConn // nil when there was no server to connect to; link.mu
	from   string       // the address that the server sees; link.mu
}

// newLink begins to carry what comes to ln.
func newLink(t testing.TB, ln net.Listener, decide func(n int) plan) *link {
	l := &link{ln: ln, url: "ws://" + ln.Addr().String(), plan: decide, due: make(chan *carried, 10_000),
		used: map[string]bool{}, passable: make(chan struct{})}
	close(l.passable)
	l.tasks.Go(l.accept)
	t.Cleanup(func() {
		l.ln.Close()
		for _, c := range l.connections() {
			l.reset(c)
		}
		l.tasks.Wait()
	})
	return l
}

// always is the plan of a connection to which nothing happens.
func always(addr string) func(int) plan {
	return func(int) plan { return plan{to: addr} }
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func (l *link) accept() {
	for n := 0; ; n++ {
		conn, err := l.ln.Accept()
		if err != nil {
			return
		}
		c := &carried{plan: l.plan(n), n: n, client: conn.(*net.TCPConn), halted: make(chan struct{}),
			over: make(chan struct{})}
		l.mu.Lock()
		l.all = append(l.all, c)
		l.mu.Unlock()
		l.tasks.Go(func() { l.connect(c) })
	}
}

func (l *link) connect(c *carried) {
	conn, err := l.dial(c.plan.to)
	if err != nil {
		c.cut(0)
		return
	}
	l.mu.Lock()
	c.server, c.from = conn, conn.LocalAddr().String()
	if l.rate > 0 {
		_ = c.server.SetWriteBuffer(8 << 10) // or the link's own kernel would be a queue
	}
	l.mu.Unlock()
	var down sync.WaitGroup
	down.Go(func() { l.carryDown(c) })
	l.carryUp(c)
	_ = c.server.SetReadDeadline(time.Now().Add(time.Second)) // some servers never close
	down.Wait()
	c.cut(-1)
	c.server.Close()
}

// dial connects from an address that the link has not used before: by that a server's connection is known.
func (l *link) dial(to string) (*net.TCPConn, error) {
	for {
		conn, err := net.DialTimeout("tcp", to, time.Second)
		if err != nil {
			return nil, err
		}
		from := conn.LocalAddr().String()
		l.mu.Lock()
		used := l.used[from]
		l.used[from] = true
		l.mu.Unlock()
		if !used {
			return conn.(*net.TCPConn), nil
		}
		conn.Close()
	}
}

// connections returns the connections so far.
func (l *link) connections() []*carried {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*carried(nil), l.all...)
}

// sourceOf is the address by which the server knows the connection, "" if it does not.
func (l *link) sourceOf(c *carried) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.from
}

// cut ends a connection towards the client: with linger 0 by a reset, with -1 as a program that ends does.
func (c *carried) cut(linger int) {
	c.cutOne.Do(func() {
		_ = c.client.SetLinger(linger)
		if linger != 0 {
			_ = c.client.CloseWrite() // first, or what has not been read would make it a reset
		}
		c.client.Close()
		close(c.over)
	})
}

// reset ends a connection by resets on both sides.
func (l *link) reset(c *carried) {
	l.mu.Lock()
	server := c.server
	l.mu.Unlock()
	if server != nil {
		_ = server.SetLinger(0)
		server.Close()
	}
	c.cut(0)
}

// endServer ends a connection towards the server only.
func (l *link) endServer(c *carried) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = c.server.CloseWrite()
}

// die makes the link carry nothing any more, with the connections open, until the returned function is called.
func (l *link) die() (revive func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	passable := make(chan struct{})
	l.passable = passable
	return func() { close(passable) }
}

// shape sets what the link carries towards the server, in bytes a second. Call it before there are connections.
func (l *link) shape(rate int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = rate
}

// pass waits while the link is dead. It answers false when nothing more is to be carried.
func (l *link) pass(c *carried) bool {
	l.mu.Lock()
	passable := l.passable
	l.mu.Unlock()
	select {
	case <-passable:
	case <-c.over:
	}
	select {
	case <-c.halted:
		<-c.over
		return false
	case <-c.over:
		return false
	default:
		return true
	}
}

// carryUp carries towards the server, and stops to the byte where the plan has it.
func (l *link) carryUp(c *carried) {
	defer c.server.CloseWrite()
	l.mu.Lock()
	rate := l.rate
	l.mu.Unlock()
	buf := make([]byte, 32<<10)
	if rate > 0 {
		buf = buf[:1448]
	}
	left := c.plan.after
	free := time.Now() // when the link is free again
	for l.pass(c) {
		room := buf
		if left > 0 {
			room = room[:min(int64(len(room)), left)]
		}
		n, err := c.client.Read(room)
		if !l.pass(c) {
			return
		}
		if n > 0 {
			if _, err := c.server.Write(room[:n]); err != nil {
				c.cut(-1)
				return
			}
		}
		if left > 0 {
			if left -= int64(n); left == 0 {
				if c.plan.halt {
					close(c.halted)
				}
				l.due <- c
			}
		}
		if err != nil {
			return
		}
		if rate > 0 {
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(n) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(free))
		}
	}
}

// carryDown carries from the server.
func (l *link) carryDown(c *carried) {
	buf := make([]byte, 4<<10)
	for l.pass(c) {
		n, err := c.server.Read(buf)
		if !l.pass(c) {
			return
		}
		if n > 0 {
			if _, err := c.client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			_ = c.client.CloseWrite()
			return
		}
	}
}
