//go:build linux

package test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// sink is a websocket server inside the test: it keeps what comes, with the time, and can behave as no server should.
type sink struct {
	addr string
	url  string
	// hold, when it is set, is called for a new connection before anything is read of it.
	hold func(*sunk)

	mu    sync.Mutex
	all   []*sunk
	tasks sync.WaitGroup
}

// sunk is one connection of a sink.
type sunk struct {
	s      *sink
	n      int // from 0
	ws     *wsconn.Conn
	tcp    net.Conn
	remote string
	path   string

	mu       sync.Mutex
	data     []byte
	arrivals []arrival
	resume   chan struct{} // not nil: nothing is read until it is closed
	ended    chan struct{}
}

// arrival is a message.
type arrival struct {
	end int // of the message in what the connection brought
	at  time.Time
}

type connKey struct{}

// newSink serves on ln.
func newSink(t testing.TB, ln net.Listener, hold func(*sunk)) *sink {
	s := &sink{addr: ln.Addr().String(), url: "ws://" + ln.Addr().String(), hold: hold}
	over, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.tasks.Add(1)
			defer s.tasks.Done()
			s.serve(over, w, r)
		}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	s.tasks.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() {
		cancel()
		server.Close()
		for _, c := range s.connections() {
			c.tcp.Close()
		}
		s.tasks.Wait()
	})
	return s
}

func (s *sink) serve(over context.Context, w http.ResponseWriter, r *http.Request) {
	tcp := r.Context().Value(connKey{}).(net.Conn)
	ws, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	s.mu.Lock()
	c := &sunk{s: s, n: len(s.all), ws: ws, tcp: tcp, remote: r.RemoteAddr, path: r.URL.Path,
		ended: make(chan struct{})}
	s.all = append(s.all, c)
	s.mu.Unlock()
	defer close(c.ended)
	if s.hold != nil {
		s.hold(c)
	}
	c.read(over)
}

// read keeps all messages, and what has come of the last one.
func (c *sunk) read(over context.Context) {
	buf := make([]byte, 64<<10)
	for c.mayRead(over) {
		_, message, err := c.ws.NextMessage(over)
		if err != nil {
			return
		}
		for err == nil && c.mayRead(over) {
			var n int
			n, err = message.Read(buf)
			if err != nil && err != io.EOF {
				return
			}
			c.mu.Lock()
			c.data = append(c.data, buf[:n]...)
			if err == io.EOF {
				c.arrivals = append(c.arrivals, arrival{len(c.data), time.Now()})
			}
			c.mu.Unlock()
		}
	}
}

// mayRead waits while the connection is stalled.
func (c *sunk) mayRead(over context.Context) bool {
	c.mu.Lock()
	resume := c.resume
	c.mu.Unlock()
	if resume == nil {
		return true
	}
	select {
	case <-resume:
		return true
	case <-over.Done():
		return false
	}
}

// stall makes the server read nothing more until the returned function is called.
func (c *sunk) stall() (resume func()) {
	ch := make(chan struct{})
	c.mu.Lock()
	c.resume = ch
	c.mu.Unlock()
	return sync.OnceFunc(func() { close(ch) })
}

// goAway sends a close frame and behaves from then on.
func (c *sunk) goAway() {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	_ = c.ws.Close(ctx, 1001, "going away") // the peer's answer is not what is looked at
}

// fallSilent sends a close frame, reads nothing more and leaves the connection open.
func (c *sunk) fallSilent() {
	c.stall()
	_, _ = c.tcp.Write([]byte{0x88, 2, 0x03, 0xE9}) // one whole frame: Close, 1001
}

// received returns what the connection has brought, and when.
func (c *sunk) received() ([]byte, []arrival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.data...), append([]arrival(nil), c.arrivals...)
}

func (c *sunk) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.data)
}

// connections returns the connections so far.
func (s *sink) connections() []*sunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*sunk(nil), s.all...)
}

// wait waits for a connection after the first n that brings so many bytes.
func (s *sink) wait(t testing.TB, n, bytes int) *sunk {
	t.Helper()
	var c *sunk
	testwait.Eventually(t, "a connection that brings bytes", func() bool {
		for _, one := range s.connections()[min(n, len(s.connections())):] {
			if one.size() >= bytes {
				c = one
			}
		}
		return c != nil
	})
	return c
}
