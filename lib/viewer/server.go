package viewer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"log"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	// headerTimeout is how long a client may take for its TLS handshake and again for its header, answerTimeout for an
	// answer, and idleTimeout until its next request.
	headerTimeout = 10 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = 15 * time.Second
	// maxHeader is how long a header may be, in bytes.
	maxHeader = 16 << 10
)

// Server lets viewers watch one stream. It is used once.
type Server struct {
	o        Options
	hub      *hub
	http     http.Server
	conns    connections
	perHost  *access.PerAddress
	refusals *access.RefusalLog
	refused  refused
	seats    atomic.Int64 // viewers, and those whose handshake is being answered

	endOnce sync.Once
	ended   chan struct{} // closed by End
}

// New returns a server that has not begun.
func New(o Options) *Server {
	s := &Server{
		o:        o,
		perHost:  access.NewPerAddress(o.MaxPerAddress),
		refusals: access.NewRefusalLog(o.Log),
		ended:    make(chan struct{}),
	}
	s.hub = newHub(&s.o)
	s.conns.warn = o.Log.Warn
	http1 := new(http.Protocols)
	http1.SetHTTP1(true) // a connection of HTTP/2 cannot become a websocket
	s.http = http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  headerTimeout, // no request has a body that is read
		WriteTimeout:                 answerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		Protocols:                    http1,
		TLSNextProto:                 map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState:                    s.conns.changed,
		ErrorLog:                     log.New(httpLog{s}, "", 0),
	}
	o.Ledger.OpenFunc(s.hub.counts)
	return s
}

// Put gives the viewers a batch of the stream. It never waits for them.
func (s *Server) Put(b stream.Batch) { s.hub.in.put(b) }

// End says that the stream has ended: viewers get what is left and are closed.
func (s *Server) End() { s.endOnce.Do(func() { close(s.ended) }) }

// Run serves viewers until End is called and they have got everything, for which they have Linger at most, or until
// hard ends. When it returns, nothing of it is left. It returns an error if the listener failed.
func (s *Server) Run(hard context.Context) error {
	ctx, stop := context.WithCancel(hard)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { s.hub.run(s.ended) })
	if s.o.Tokens != nil {
		running.Go(func() { s.o.Tokens.Follow(ctx) })
		defer s.o.Tokens.Subscribe(s.hub.checkTokens)()
	}
	served := make(chan error, 1)
	running.Go(func() { served <- s.http.Serve(s.o.Listener) })

	var err error
	select {
	case <-s.ended:
	case <-hard.Done():
	case err = <-served:
		s.o.Log.Error("no more viewers can connect", "err", err)
		select {
		case <-s.ended:
		case <-hard.Done():
		}
	}
	s.End()
	_ = s.http.Close()
	if err == nil {
		<-served // no connection is added any more
	}
	s.drain(hard)
	stop()
	running.Wait()
	s.refusals.Flush()
	return err
}

// drain waits until all viewers have left.
func (s *Server) drain(hard context.Context) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.conns.running.Wait()
		s.hub.running.Wait()
	}()
	timer := time.NewTimer(s.o.Linger)
	defer timer.Stop()
	select {
	case <-left:
		return
	case <-timer.C:
	case <-hard.Done():
	}
	s.hub.cutAll()
	<-left
}

// Viewers returns how many are connected.
func (s *Server) Viewers() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.viewers)
}

// serveStream makes a viewer of a request.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, token *access.Token) {
	if !wsconn.IsHandshake(r) {
		w.Header().Set("Sec-WebSocket-Version", "13")
		s.refuse(w, r, http.StatusUpgradeRequired, access.BadRequest, "this is a websocket, of version 13")
		return
	}
	addr, leave := s.enter(w, r)
	if leave == nil {
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		leave()
		s.o.Log.Warn("connection not taken over", "addr", addr, "err", err)
		http.Error(w, "this connection cannot become a websocket", http.StatusInternalServerError)
		return
	}
	// In a goroutine of its own, so that what net/http has for a request is given back.
	next := r.URL.Query().Get("start") == "next"
	answer := handshakeAnswer(r)
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	reader := readAfter(bytes.Clone(early), conn)
	go func() {
		defer s.conns.remove()
		defer leave()
		if err := sendAnswer(conn, answer); err != nil {
			_ = conn.Close()
			s.o.Log.Warn("handshake failed", "addr", addr, "err", err)
			return
		}
		s.serveViewer(newViewer(s.hub, conn, token), reader, addr, next)
	}()
}

// enter takes a seat for a viewer, and returns its address and the function that gives the seat back. It refuses the
// request, and returns no function, if there is no seat.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) (addr netip.Addr, leave func()) {
	addr, limited := access.Proxies(nil).Client(remoteAddr(r), r.Header)
	n := s.seats.Add(1)
	switch {
	case s.o.MaxViewers > 0 && n > int64(s.o.MaxViewers):
		s.refuse(w, r, http.StatusServiceUnavailable, access.TooMany, "there are too many viewers")
	case limited && !s.perHost.Enter(addr):
		s.refuse(w, r, http.StatusTooManyRequests, access.TooMany, "there are too many viewers from this address")
	default:
		return addr, func() {
			s.seats.Add(-1)
			if limited {
				s.perHost.Leave(addr)
			}
		}
	}
	s.seats.Add(-1)
	return addr, nil
}

// serveViewer serves a viewer until its connection has ended.
func (s *Server) serveViewer(v *viewer, r *bufio.Reader, addr netip.Addr, next bool) {
	if !s.hub.join(v, next) {
		v.cut()
		return
	}
	args := []any{"addr", addr.String()}
	if v.token != nil && v.token.Name() != "" {
		args = append(args, "token", v.token.Name())
	}
	s.o.Log.Info("viewer connected", args...)
	if v.token != nil && !s.o.Tokens.Has(*v.token) {
		s.hub.checkTokens() // it has gone since it let the viewer in
	}
	err := v.serve(r)
	s.o.Log.Info("viewer gone", append(args, "reason", v.reason(err))...)
}

// httpLog takes the complaints of net/http. A panic is a fault of this package; the rest are its clients'.
type httpLog struct{ s *Server }

func (l httpLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if strings.HasPrefix(text, "http: panic") {
		l.s.o.Log.Error("a request was ended by a fault in this program", "err", text)
	} else {
		l.s.o.Log.Warn("connection failed", "err", text)
	}
	return len(p), nil
}
