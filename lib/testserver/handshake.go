package testserver

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// handle answers one request. A connection that comes of it gets a goroutine of its own, so that what net/http needed
// for the request is freed.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if !s.startRequest() {
		http.Error(w, reasonGoingAway, http.StatusServiceUnavailable)
		return
	}
	defer s.running.Done()
	path := requestPath(r)
	switch {
	case !s.isAuthorized(r):
		s.refuse(w, r, path, http.StatusUnauthorized,
			"a token is required: as Authorization: Bearer, or as the Basic password")
		return
	case !httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket"):
		s.refuse(w, r, path, http.StatusUpgradeRequired,
			"this is a websocket server: connect to "+s.url+" with a websocket client")
		return
	}
	next := s.schedule(path)
	if next.handshake != nil {
		f := next.handshake
		s.recordFault(FaultEvent{Fault: f.index, Do: f.Do.Name(), Path: path, Handshake: next.number})
		f.Do.(handshakeFault).answer(s, w, r, path)
		return
	}
	response := &statusRecorder{ResponseWriter: w}
	c, err := s.accept(response, r, path, next)
	if err != nil {
		s.countRefused(response.status)
		s.log.Warn("handshake refused", "remote", r.RemoteAddr, "path", path, "err", err)
		return
	}
	s.running.Go(func() {
		c.run()
		s.removeConnection(c)
	})
}

// accept accepts one websocket at a time: connections are numbered in the order in which their peers learn that they
// are connected, and the report contains each of which a peer has learned that.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, path string, next schedule) (*connection, error) {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	if s.isEnding() {
		http.Error(w, reasonGoingAway, http.StatusServiceUnavailable)
		return nil, errors.New(reasonGoingAway)
	}
	if len(next.connection) > 0 {
		return s.acceptFaulty(w, r, path, next)
	}
	ws, err := wsconn.Accept(w, r, wsconn.AcceptOptions{MaxMessage: s.options.MaxMessage})
	if err != nil {
		return nil, err
	}
	return s.addConnection(ws, path, r), nil
}

func (s *Server) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// startRequest reports whether the server still takes requests. If so, the caller must call s.running.Done.
func (s *Server) startRequest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.running.Add(1)
	}
	return !s.ending
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, path string, status int, text string) {
	s.countRefused(status)
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
	_, _ = io.WriteString(w, text+"\n") // a client that has gone needs no response
}

// countRefused counts a request that became no connection.
func (s *Server) countRefused(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[status]++
}

// statusRecorder records the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (s *Server) isAuthorized(r *http.Request) bool {
	if s.options.Token == "" {
		return true
	}
	given := cmp.Or(access.Bearer(r), access.BasicPassword(r))
	// Hashes have one length; with different lengths ConstantTimeCompare returns at once.
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.options.Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// requestPath is the path as it came, percent-encoded, without userinfo and query, which may be secret.
func requestPath(r *http.Request) string {
	if path := r.URL.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

func (s *Server) addConnection(ws websocketConn, path string, r *http.Request) *connection {
	c := &connection{server: s, ws: ws, queue: newPieceQueue(maxBlocks)}
	c.process = c.processQueue
	c.result.header = r.Header
	c.result.header.Set("Host", r.Host) // net/http keeps it apart
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	c.result.Connected = Connected{ID: s.count, Path: path, Remote: r.RemoteAddr, Started: time.Now().UTC()}
	s.open[c] = struct{}{}
	if f := s.options.OnConnected; f != nil {
		connected := c.result.Connected
		s.events.call(func() { f(connected) })
	}
	s.log.Info(fmt.Sprintf("connection %d begins", s.count), "path", path, "remote", r.RemoteAddr)
	return c
}

// removeConnection moves a connection that has ended to the past ones.
func (s *Server) removeConnection(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.past[c.result.ID] = past{c.result, c.observers}
	result := c.result
	if f := s.options.OnClosed; f != nil {
		s.events.call(func() { f(result) })
	}
	s.log.Info(fmt.Sprintf("connection %d ended", result.ID), "code", result.Close.Code, "messages", result.Messages,
		"bytes", result.Bytes)
	if s.options.Conns > 0 && len(s.past) >= s.options.Conns {
		s.reachLimit()
	}
}
