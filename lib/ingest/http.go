package ingest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// ServeHTTP answers one request. The connection is closed behind it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case isWebsocket(r):
		s.serveWebsocket(w, r)
	case r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		s.serveHealth(w)
	default:
		s.servePublisher(w, r)
	}
}

// serveHealth says whether somebody publishes.
func (s *Server) serveHealth(w http.ResponseWriter) {
	status, text := http.StatusServiceUnavailable, "no publisher\n"
	if s.publishing() {
		status, text = http.StatusOK, "publishing\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // whoever asked and went away needs no answer
}

// servePublisher is for everything that is no websocket.
func (s *Server) servePublisher(w http.ResponseWriter, r *http.Request) {
	refusal := s.check(r)
	conn, already, err := hijack(w)
	if err != nil {
		s.o.Log.Warn("connection not taken over", "remote", r.RemoteAddr, "err", err)
		http.Error(w, unsupportedProto.text, unsupportedProto.status)
		return
	}
	defer s.conns.leave()
	defer conn.Close()
	p := s.newPublisher(r)
	if refusal == nil {
		refusal = s.claim(p)
	}
	if refusal != nil {
		s.refuse(conn, r, *refusal)
		return
	}
	defer s.release(p, true) // also if something panics
	if expectsContinue(r) && p.cutReason() == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(answerPatience))
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") // reading tells if the client is gone
	}
	end := s.publish(p, newBody(conn, already, r.ContentLength, s.o.MaxBody, s.o.IdleTimeout))
	if end == io.EOF {
		finish(conn, delivered)
		return
	}
	cut(conn, answerTo(end), s.over.Done())
}

// check returns what is wrong with a request, without looking at its body; nil if nothing is.
func (s *Server) check(r *http.Request) *answer {
	chunked := len(r.TransferEncoding) > 0
	unwelcome := s.guard.refusal(r)
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		return &wrongMethod
	case unwelcome != nil:
		return unwelcome
	case !chunked && r.Header.Get("Content-Length") == "":
		return &noLength
	case s.o.MaxBody > 0 && r.ContentLength > s.o.MaxBody:
		return &tooLarge
	}
	return nil
}

// refuse answers a request whose body has not been looked at.
func (s *Server) refuse(conn net.Conn, r *http.Request, a answer) {
	path := s.guard.loggable(r.URL.Path)
	if a.status == http.StatusUnauthorized {
		path = "…" // it may be a token with a slip in it
	}
	s.o.Log.Warn("refused", "remote", r.RemoteAddr, "path", path, "status", a.status, "reason", a.text)
	cut(conn, a, s.over.Done())
}

// answerTo is the answer to a publisher whose stream ended before it was complete.
func answerTo(end error) answer {
	switch {
	case errors.Is(end, errTooLarge):
		return tooLarge
	case errors.Is(end, errIdle):
		return tooSlow
	case errors.Is(end, errTakenOver):
		return takenOver
	case errors.Is(end, errMalformed), errors.Is(end, io.ErrUnexpectedEOF):
		return malformed
	default:
		return stopping
	}
}

func expectsContinue(r *http.Request) bool {
	return r.ProtoAtLeast(1, 1) && strings.EqualFold(r.Header.Get("Expect"), "100-continue") && r.ContentLength != 0
}

// hijack takes the connection over, with what has been read from it behind the header.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	conn, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	already, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return conn, bytes.Clone(already), nil
}
