package testserver

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// handshakeFault happens instead of a connection.
type handshakeFault interface {
	FaultKind
	answer(s *Server, w http.ResponseWriter, r *http.Request, path string)
}

// Refuse answers the handshake with an HTTP status.
type Refuse struct {
	Status     int           // 300 to 599; 0 means 503
	RetryAfter time.Duration // sent as a header, rounded up to seconds; 0: no header
}

// Name returns "refuse".
func (Refuse) Name() string { return "refuse" }

func (f Refuse) check() error {
	if f.RetryAfter < 0 {
		return errNegative
	}
	return within("status", f.Status, 300, 599)
}

func (f Refuse) answer(s *Server, w http.ResponseWriter, r *http.Request, path string) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	s.refuse(w, r, path, cmp.Or(f.Status, http.StatusServiceUnavailable), "refused on purpose")
}

// Redirect answers the handshake with a redirect.
type Redirect struct {
	Status int    // 300 to 399; 0 means 302
	To     string // the Location; "" means this server, with the request's path and query
}

// Name returns "redirect".
func (Redirect) Name() string { return "redirect" }

func (f Redirect) check() error {
	if strings.ContainsAny(f.To, "\r\n") {
		return errors.New("a Location is one line")
	}
	return within("status", f.Status, 300, 399)
}

func (f Redirect) answer(s *Server, w http.ResponseWriter, r *http.Request, path string) {
	w.Header().Set("Location", cmp.Or(f.To, s.url+r.URL.RequestURI()))
	s.refuse(w, r, path, cmp.Or(f.Status, http.StatusFound), "redirected on purpose")
}

// HangHandshake never answers the handshake, and closes the TCP connection in the end.
type HangHandshake struct {
	For time.Duration // 0: until the peer has gone
}

// Name returns "hang-handshake".
func (HangHandshake) Name() string { return "hang-handshake" }

func (f HangHandshake) check() error { return notNegative(f.For) }

func (f HangHandshake) answer(s *Server, w http.ResponseWriter, _ *http.Request, _ string) {
	s.hijack(w, "", f.For)
}

// BadAccept answers 101 with a wrong Sec-WebSocket-Accept, and waits until the peer has gone.
type BadAccept struct{}

// Name returns "bad-accept".
func (BadAccept) Name() string { return "bad-accept" }

func (BadAccept) answer(s *Server, w http.ResponseWriter, _ *http.Request, _ string) {
	s.hijack(w, wsconn.SwitchingProtocols("a key that nobody sent", ""), 0)
}

// hijack writes the response itself, and then reads until the peer has gone, the time is over (0: none) or the server
// ends.
func (s *Server) hijack(w http.ResponseWriter, response string, d time.Duration) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.log.Warn("fault not possible", "err", err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, response) // a peer that has gone needs no response
	drain(conn, rw.Reader, d, s.stopping)
}

// acceptFaulty accepts a connection on which something goes wrong.
func (s *Server) acceptFaulty(w http.ResponseWriter, r *http.Request, path string, next schedule) (*connection, error) {
	if !wsconn.IsHandshake(r) {
		err := errors.New("not a websocket handshake (RFC 6455, 4.2.1)")
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, wsconn.SwitchingProtocols(r.Header.Get("Sec-WebSocket-Key"), "")); err != nil {
		conn.Close()
		return nil, err
	}
	faulty := newFaultyConn(conn, rw.Reader, s.options.MaxMessage, next.connection)
	c := s.addConnection(faulty, path, r)
	faulty.onFault = func(f *pendingFault) {
		s.recordFault(FaultEvent{Fault: f.index, Do: f.Do.Name(), Path: path, Handshake: next.number,
			Connection: c.result.ID, Bytes: faulty.bytes, Messages: faulty.messages})
	}
	return c, nil
}

// drain reads until the peer has gone, the time is over (0: none), or stop is closed, which closes the connection.
func drain(conn net.Conn, r *bufio.Reader, d time.Duration, stop <-chan struct{}) {
	var deadline time.Time
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	conn.SetReadDeadline(deadline)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, r) // how it ended does not matter
	}()
	select {
	case <-gone:
	case <-stop:
		conn.Close()
		<-gone
	}
}
