package testserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// handle answers one request. A connection that comes of it lives on in a goroutine of its own: what net/http has
// needed for the request is free then.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, endedReason, http.StatusServiceUnavailable)
		return
	}
	defer s.running.Done()
	path := requestPath(r)
	switch {
	case !s.authorized(r):
		s.refuse(w, r, path, http.StatusUnauthorized, "a token is needed: as Authorization: Bearer, or as a Basic password")
		return
	case !hasToken(r, "Upgrade", "websocket"):
		s.refuse(w, r, path, http.StatusUpgradeRequired, "this is a websocket server: connect to "+s.url+" with a websocket client")
		return
	}
	p := s.plan(path)
	if p.handshake != nil {
		s.spoil(w, r, path, p)
		return
	}
	answer := &statusWriter{ResponseWriter: w}
	c, err := s.accept(answer, r, path, p)
	if err != nil {
		s.refused(answer.status)
		s.log.Warn("handshake refused", "remote", r.RemoteAddr, "path", path, "err", err)
		return
	}
	s.running.Go(func() {
		c.run()
		s.over(c)
	})
}

// accept answers a websocket handshake. One at a time: connections are numbered in the order in which their peers learn
// that they are connected, and none that has learned it is missing in the report.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, path string, p plan) (*connection, error) {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	if s.isEnding() {
		http.Error(w, endedReason, http.StatusServiceUnavailable)
		return nil, errors.New(endedReason)
	}
	if len(p.steps) > 0 {
		return s.acceptRaw(w, r, path, p)
	}
	ws, err := wsconn.Accept(w, r, wsconn.AcceptOptions{MaxMessage: s.options.MaxMessage})
	if err != nil {
		return nil, err
	}
	return s.begin(ws, path, r), nil
}

func (s *Server) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// enter reports whether there is still room for a request; then s.running has to be told when it is done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.running.Add(1)
	}
	return !s.ending
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, path string, status int, text string) {
	s.refused(status)
	s.log.Warn("handshake refused", "remote", r.RemoteAddr, "path", path, "status", status)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="vw-testserver"`)
	case http.StatusUpgradeRequired:
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade, close")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // whoever has gone needs no answer
}

// refused counts a request that became no connection.
func (s *Server) refused(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[status]++
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (s *Server) authorized(r *http.Request) bool {
	if s.options.Token == "" {
		return true
	}
	_, given, ok := r.BasicAuth()
	if !ok {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return false
		}
		given = strings.TrimSpace(token)
	}
	// Of the same length, because ConstantTimeCompare answers at once otherwise.
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.options.Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// hasToken reports whether a header, which is a list, has the token.
func hasToken(r *http.Request, header, token string) bool {
	for _, value := range r.Header.Values(header) {
		for one := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// requestPath is the path as it came, percent-encoded, without what may be secret: userinfo and query.
func requestPath(r *http.Request) string {
	if path := r.URL.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

// begin takes a new connection in.
func (s *Server) begin(ws peer, path string, r *http.Request) *connection {
	c := &connection{server: s, ws: ws, backlog: newBacklog(maxBlocks)}
	c.feeder = c.feed
	c.result.header = r.Header
	c.result.header.Set("Host", r.Host) // net/http keeps it apart
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	c.result.Connected = Connected{ID: s.count, Path: path, Remote: r.RemoteAddr, Started: time.Now().UTC()}
	s.open[c] = struct{}{}
	if f := s.options.OnConnected; f != nil {
		start := c.result.Connected
		s.events.tell(func() { f(start) })
	}
	s.log.Info(fmt.Sprintf("connection %d begins", s.count), "path", path, "remote", r.RemoteAddr)
	return c
}

// over takes a connection out that has ended.
func (s *Server) over(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.past[c.result.ID] = past{c.result, c.watches}
	result := c.result
	if f := s.options.OnClosed; f != nil {
		s.events.tell(func() { f(result) })
	}
	s.log.Info(fmt.Sprintf("connection %d ended", result.ID), "code", result.Close.Code, "messages", result.Messages,
		"bytes", result.Bytes)
	if s.options.Conns > 0 && len(s.past) >= s.options.Conns {
		s.reachLimit()
	}
}
