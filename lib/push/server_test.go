package push

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// server is a websocket server that keeps what each connection brought, and does to a connection what a test wants.
type server struct {
	*httptest.Server
	t testing.TB
	// handle is called for each connection; nil reads to the end.
	handle func(*connection)
	// check answers a handshake with another status than 0 by refusing it.
	check func(*http.Request) int

	mu          sync.Mutex
	connections []*connection
	arrived     chan *connection
	running     sync.WaitGroup
	over        context.Context
}

type connection struct {
	s    *server
	n    int // from 0
	conn *wsconn.Conn
	tcp  net.Conn

	mu    sync.Mutex
	bytes []byte
	sizes []int
	err   error
}

func newServer(t testing.TB) *server {
	over, cancel := context.WithCancel(context.Background())
	s := &server{t: t, arrived: make(chan *connection, 10000), over: over}
	s.Server = httptest.NewUnstartedServer(nil)
	type key struct{}
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, c)
	}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tcp, _ := r.Context().Value(key{}).(net.Conn)
		s.serveOn(w, r, tcp)
	})
	s.Start()
	t.Cleanup(func() {
		cancel()
		s.mu.Lock()
		for _, c := range s.connections {
			c.tcp.Close()
		}
		s.mu.Unlock()
		s.Close()
		s.running.Wait()
	})
	return s
}

func (s *server) serveOn(w http.ResponseWriter, r *http.Request, tcp net.Conn) {
	s.running.Add(1)
	defer s.running.Done()
	if s.check != nil {
		if code := s.check(r); code != 0 {
			w.WriteHeader(code)
			return
		}
	}
	conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	s.mu.Lock()
	c := &connection{s: s, n: len(s.connections), conn: conn, tcp: tcp}
	s.connections = append(s.connections, c)
	s.mu.Unlock()
	s.arrived <- c
	if s.handle != nil {
		s.handle(c)
		return
	}
	c.read(-1)
}

// read reads messages until the end, or until more than limit bytes have come if limit is not negative.
func (c *connection) read(limit int) {
	for {
		_, r, err := c.conn.NextMessage(c.s.over)
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			return
		}
		b, err := io.ReadAll(r)
		c.mu.Lock()
		if err == nil { // a message is whole or it did not come
			c.bytes = append(c.bytes, b...)
			c.sizes = append(c.sizes, len(b))
		}
		n := len(c.bytes)
		c.mu.Unlock()
		if err != nil || limit >= 0 && n > limit {
			return
		}
	}
}

// reset ends the connection with a RST.
func (c *connection) reset() {
	if tcp, ok := c.tcp.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.tcp.Close()
}

func (c *connection) got() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// closedWith waits until the connection has ended, and returns the close code that came.
func (s *server) closedWith(i int) int {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var ce *wsconn.CloseError
	if errors.As(s.connections[i].err, &ce) {
		return ce.Code
	}
	return 1006
}

func (s *server) all() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, c := range s.connections {
		all = append(all, c.got())
	}
	return all
}

func (s *server) url() string { return "ws" + strings.TrimPrefix(s.URL, "http") + "/x" }

// logs keeps what is logged.
type logs struct {
	mu    sync.Mutex
	lines []string
	args  [][]any // of each line
}

func (l *logs) add(msg string, args []any) {
	l.mu.Lock()
	l.lines, l.args = append(l.lines, msg), append(l.args, args)
	l.mu.Unlock()
}

func (l *logs) Info(_, msg string, args ...any) { l.add(msg, args) }
func (l *logs) Warn(_, msg string, args ...any) { l.add(msg, args) }
func (l *logs) LogLatest(_ string, line func() (slog.Level, string, []any)) {
	_, msg, args := line()
	l.add(msg, args)
}

// values returns what the lines of one kind have for a key.
func (l *logs) values(msg, key string) (all []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, line := range l.lines {
		for k := 0; line == msg && k+1 < len(l.args[i]); k += 2 {
			if l.args[i][k] == key {
				all = append(all, l.args[i][k+1])
			}
		}
	}
	return all
}

func (l *logs) count(msg string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if line == msg {
			n++
		}
	}
	return n
}

// soon fails a test that hangs, with more to say than the whole package's timeout.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 30*time.Second, errors.New("the test took too long"))
	t.Cleanup(cancel)
	return ctx
}
