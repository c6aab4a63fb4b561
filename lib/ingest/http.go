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

// ServeHTTP answers one request and closes the connection.
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

// serveHealth answers whether somebody publishes.
func (s *Server) serveHealth(w http.ResponseWriter) {
	status, text := http.StatusServiceUnavailable, "no publisher\n"
	if s.publishing() {
		status, text = http.StatusOK, "publishing\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that has gone needs no answer
}

// servePublisher answers everything but websockets and /healthz.
func (s *Server) servePublisher(w http.ResponseWriter, r *http.Request) {
	refusal := s.check(r)
	conn, buffered, err := hijack(w)
	if err != nil {
		s.o.Log.Warn("connection not taken over", "remote", r.RemoteAddr, "err", err)
		http.Error(w, unsupportedProto.text, unsupportedProto.status)
		return
	}
	defer s.conns.remove()
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
	if expectsContinue(r) && p.stopReason() == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(responseTimeout))
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") // if the client has gone, the next read fails
	}
	end := s.publish(p, newBody(conn, buffered, r.ContentLength, s.o.MaxBody, s.o.IdleTimeout))
	if end == io.EOF {
		closeDrained(conn, delivered)
		return
	}
	closeReset(conn, responseTo(end), s.abortCtx.Done())
}

// check returns why a request is refused before its body is read; nil if it is not.
func (s *Server) check(r *http.Request) *response {
	chunked := len(r.TransferEncoding) > 0
	unwelcome := s.authorizer.refusal(r)
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

// refuse answers a request whose body has not been read.
func (s *Server) refuse(conn net.Conn, r *http.Request, a response) {
	path := s.authorizer.loggable(r.URL.Path)
	if a.status == http.StatusUnauthorized {
		path = "…" // it may be a token with a typing error
	}
	s.o.Log.Warn("refused", "remote", r.RemoteAddr, "path", path, "status", a.status, "reason", a.text)
	closeReset(conn, a, s.abortCtx.Done())
}

// responseTo returns the response to a publisher whose stream ended before it was complete.
func responseTo(end error) response {
	switch {
	case errors.Is(end, errTooLarge):
		return tooLarge
	case errors.Is(end, errIdle):
		return tooSlow
	case errors.Is(end, errReplaced):
		return replaced
	case errors.Is(end, errMalformed), errors.Is(end, io.ErrUnexpectedEOF):
		return malformed
	default:
		return stopping
	}
}

func expectsContinue(r *http.Request) bool {
	return r.ProtoAtLeast(1, 1) && strings.EqualFold(r.Header.Get("Expect"), "100-continue") && r.ContentLength != 0
}

// hijack takes the connection over, with the bytes that were read after the header.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	conn, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	buffered, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return conn, bytes.Clone(buffered), nil
}
