package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/metrics"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// route answers one request. Its connection is closed after that. rest is what was read after the header.
func (s *Server) route(c *connection, r *http.Request, rest []byte) {
	addr, limited := s.o.Proxies.Client(c.raw.RemoteAddr(), r.Header)
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case r.ProtoMajor != 1:
		s.refuse(c, wrongProtocol)
	case !s.conns.countAddress(c, addr, limited):
		s.refuse(c, tooMany)
	case isWebsocket(r):
		s.serveWebsocket(c, r, rest)
	case get && r.URL.Path == "/healthz":
		s.serveHealth(c, r)
	case get && r.URL.Path == "/metrics":
		s.serveMetrics(c, r)
	default:
		s.servePublisher(c, r, rest)
	}
}

// serveHealth answers whether a publisher is connected.
func (s *Server) serveHealth(c *connection, r *http.Request) {
	status, text := http.StatusServiceUnavailable, "no publisher\n"
	if s.publishing() {
		status, text = http.StatusOK, "publishing\n"
	}
	s.sendText(c, r, status, "text/plain; charset=utf-8", []byte(text))
}

// serveMetrics answers with the figures of the ledger and of the door. They need the token, as publishing does.
func (s *Server) serveMetrics(c *connection, r *http.Request) {
	if _, refusal := s.authorize(r); refusal != nil {
		s.refuse(c, *refusal)
		return
	}
	var b bytes.Buffer
	_, _ = s.Metrics().WriteTo(&b)
	s.sendText(c, r, http.StatusOK, metrics.ContentType, b.Bytes())
}

// sendText answers a GET or a HEAD, and does not wait for the client to close. Anybody may ask, and a crowd that is
// slow to close would use up all descriptors.
func (s *Server) sendText(c *connection, r *http.Request, status int, kind string, body []byte) {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"+
		"Content-Length: %d\r\n\r\n", status, http.StatusText(status), kind, len(body))
	if r.Method != http.MethodHead {
		b = append(b, body...)
	}
	s.closeLater(c, b)
}

// servePublisher answers all other requests.
func (s *Server) servePublisher(c *connection, r *http.Request, rest []byte) {
	p, refusal := s.admit(c, r)
	if refusal != nil {
		s.refuse(c, *refusal)
		return
	}
	defer s.release(p, true) // also if something panics
	if expectsContinue(r) && p.stopReason() == nil {
		_ = c.SetWriteDeadline(time.Now().Add(responseTimeout))
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") // if the client has gone, the next read fails
	}
	end := s.publish(p, newBody(c.Conn, rest, r.ContentLength, s.o.MaxBody, s.o.IdleTimeout))
	s.conns.set(c, closing)
	if end == io.EOF {
		closeDrained(c, delivered.append(nil))
		return
	}
	s.closeReset(c, responseTo(end))
}

// admit makes the sender of a request the publisher, and waits until those before it are done; or returns why it is
// refused. It looks at nothing of the body.
func (s *Server) admit(c *connection, r *http.Request) (*publisher, *response) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut && !isWebsocket(r) {
		return nil, &wrongMethod
	}
	token, refusal := s.authorize(r)
	if refusal == nil && !isWebsocket(r) {
		refusal = s.checkBody(r)
	}
	if refusal == nil && !s.conns.set(c, authorized) {
		refusal = &tooMany
	}
	if refusal != nil {
		return nil, refusal
	}
	p := &publisher{
		remote: c.remote, path: s.loggablePath(r), token: token, stream: wsconn.StreamName(r.Header), began: time.Now(),
		done: make(chan struct{}),
	}
	return p, s.claim(p)
}

// checkBody returns why a body is refused before it is read; nil if it is not.
func (s *Server) checkBody(r *http.Request) *response {
	chunked := len(r.TransferEncoding) > 0
	other := func(expect string) bool { return expect != "" && !strings.EqualFold(expect, "100-continue") }
	switch {
	case slices.ContainsFunc(r.Header.Values("Expect"), other):
		return &wrongExpect
	case !chunked && r.Header.Get("Content-Length") == "":
		return &noLength
	case !acceptedEncoding(r.Header):
		return &encoded
	case s.o.MaxBody > 0 && r.ContentLength > s.o.MaxBody:
		return &tooLarge
	}
	return nil
}

// responseTo returns the response to a publisher whose stream ended before it was complete.
func responseTo(end error) response {
	var size *stream.PacketSizeError
	switch {
	case errors.As(end, &size):
		return wrongPackets
	case errors.Is(end, errTooLarge):
		return tooLarge
	case errors.Is(end, errIdle):
		return requestTimeout
	case errors.Is(end, errReplaced):
		return replaced
	case errors.Is(end, errRevoked):
		return revoked
	case errors.Is(end, errMalformed), errors.Is(end, io.ErrUnexpectedEOF):
		return malformed
	default:
		return stopping
	}
}

func expectsContinue(r *http.Request) bool {
	return r.ProtoAtLeast(1, 1) && strings.EqualFold(r.Header.Get("Expect"), "100-continue") && r.ContentLength != 0
}
