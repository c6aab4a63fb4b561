package testserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// handshakeTimeout limits the time for a request header.
	handshakeTimeout = 10 * time.Second
	maxRequestHeader = 64 << 10 // bytes
)

// Server is a running test server. Its methods may be called concurrently. Wait or Close must be called at the end.
type Server struct {
	options   Options
	url       string
	authority []byte // PEM
	log       *slog.Logger
	http      *http.Server
	serving   sync.WaitGroup // http.Serve
	saved     *saveFolder    // nil: not saved
	arrivals  *arrivalLog    // nil: none
	events    *eventQueue
	timeout   *time.Timer // nil: none

	bytes atomic.Int64 // received, of all connections
	endings

	accepting sync.Mutex // held while a handshake is answered, and when ending is set; locked before mu

	mu      sync.Mutex
	err     error          // why the report is worthless
	ending  bool           // nothing new is accepted
	running sync.WaitGroup // requests and connections; goes up from 0 only while !ending
	open    map[*connection]struct{}
	history
}

// endings are the events that end a server, and its result.
type endings struct {
	limit    chan struct{} // closed when Options.Conns or Options.Bytes has been reached
	broken   chan struct{} // closed when err has been set
	closed   chan struct{} // closed by Close
	stopping chan struct{} // closed when nothing new is accepted
	ended    chan struct{} // closed when report and endErr are valid
	report   Report
	endErr   error // what Wait returns

	limitOnce, endOnce, closeOnce sync.Once
}

// history is what has happened so far.
type history struct {
	count      int          // connections so far
	past       map[int]past // by connection
	handshakes int          // authorized ones so far
	matched    []int        // by fault: handshakes whose path matches
	faults     []FaultEvent // in the order in which they happened
	refusals   map[int]int  // by status
}

// past is a connection that has ended.
type past struct {
	result    Connection
	observers []*observation
}

// New starts a server.
func New(o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	s := &Server{
		options: o,
		log:     o.Log,
		endings: endings{
			limit:    make(chan struct{}),
			broken:   make(chan struct{}),
			closed:   make(chan struct{}),
			stopping: make(chan struct{}),
			ended:    make(chan struct{}),
		},
		open: make(map[*connection]struct{}),
		history: history{
			past:     make(map[int]past),
			matched:  make([]int, len(o.Faults)),
			refusals: make(map[int]int),
		},
	}
	s.options.Faults = slices.Clone(o.Faults)
	for _, f := range o.Faults {
		if err := f.Check(); err != nil {
			return nil, err
		}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) start() (err error) {
	host, _, err := net.SplitHostPort(s.options.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: handshakeTimeout,
		MaxHeaderBytes:    maxRequestHeader,
		ErrorLog:          log.New(httpLog{s.log}, "", 0),
	}
	scheme := "ws"
	if s.options.TLS {
		certificate, authority, err := newCertificate(host)
		if err != nil {
			return err
		}
		s.authority, scheme = authority, "wss"
		// A websocket handshake is HTTP/1.1 (RFC 6455, 4.1).
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
		s.http.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	if s.options.Save != "" {
		if s.saved, err = openSaveFolder(s.options.Save, s.fail); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", s.options.Listen)
	if err != nil {
		s.closeSaved()
		return err
	}
	if s.options.Arrivals != "" {
		if s.arrivals, err = openArrivals(s.options.Arrivals, s.options.Start, s.fail); err != nil {
			listener.Close()
			s.closeSaved()
			return err
		}
	}
	s.url = scheme + "://" + reachable(listener.Addr().(*net.TCPAddr), host)
	s.events = newEventQueue()
	if s.options.Timeout > 0 {
		s.timeout = time.NewTimer(s.options.Timeout)
	}
	s.serving.Go(func() { s.serve(listener) })
	return nil
}

func (s *Server) serve(l net.Listener) {
	var err error
	if s.options.TLS {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.fail(fmt.Errorf("accept: %w", err))
	}
}

// reachable is host:port as a client on this machine dials it: the unspecified address becomes the loopback address.
func reachable(addr *net.TCPAddr, host string) string {
	ip := net.ParseIP(host)
	switch {
	case host == "", ip != nil && ip.To4() != nil && ip.IsUnspecified():
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// httpLog gets what net/http logs: failed TLS handshakes and the like.
type httpLog struct{ log *slog.Logger }

func (l httpLog) Write(p []byte) (int, error) {
	l.log.Warn("handshake failed", "err", string(p[:max(len(p)-1, 0)]))
	return len(p), nil
}

// URL returns where the server listens, as in ws://127.0.0.1:PORT. Clients may append any path.
func (s *Server) URL() string { return s.url }

// CertPEM returns the certificate of the authority that clients must trust, nil without TLS.
func (s *Server) CertPEM() []byte { return s.authority }

// ClientTLS returns the configuration with which a client in the same process connects, nil without TLS.
func (s *Server) ClientTLS() *tls.Config {
	if s.authority == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.authority)
	return &tls.Config{RootCAs: pool}
}

// Stats counts what has come so far.
type Stats struct {
	Open        int   // connections that are open now
	Connections int   // all so far
	Bytes       int64 // received, of all connections
}

// Stats returns what has come so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Open: len(s.open), Connections: s.count, Bytes: s.bytes.Load()}
}

// fail ends the server because of an error that makes the report worthless.
func (s *Server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.broken)
	}
}

// countBytes counts bytes that a connection received.
func (s *Server) countBytes(n int64) {
	if total := s.bytes.Add(n); s.options.Bytes > 0 && total >= s.options.Bytes {
		s.reachLimit()
	}
}

func (s *Server) reachLimit() { s.limitOnce.Do(func() { close(s.limit) }) }

func (s *Server) closeSaved() {
	if s.saved != nil {
		s.saved.close()
	}
}
