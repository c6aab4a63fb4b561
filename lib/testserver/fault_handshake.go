package testserver

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// spoil does to a handshake what is planned instead of a connection.
func (s *Server) spoil(w http.ResponseWriter, r *http.Request, path string, p plan) {
	f := p.handshake
	s.fired(FaultEvent{Fault: f.index, Do: f.Do, Path: path, Handshake: p.number})
	switch f.Do {
	case Refuse:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
		}
		s.refuse(w, r, path, f.Code, "refused on purpose")
	case Redirect:
		to := f.To
		if to == "" {
			to = s.url + r.URL.RequestURI()
		}
		w.Header().Set("Location", to)
		s.refuse(w, r, path, f.Code, "redirected on purpose")
	case HangHandshake, BadAccept:
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			s.log.Warn("fault "+string(f.Do), "err", err)
			return
		}
		defer conn.Close()
		if f.Do == BadAccept {
			_, _ = io.WriteString(conn, switchingProtocols("not what was asked"))
		}
		s.listen(conn, rw.Reader, f.For)
	}
}

// listen reads until the peer has gone, the time is over (0: none), or the server ends.
func (s *Server) listen(conn net.Conn, r *bufio.Reader, d time.Duration) {
	if d > 0 {
		conn.SetReadDeadline(time.Now().Add(d))
	} else {
		conn.SetReadDeadline(time.Time{})
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, r) // how it ended does not matter
	}()
	select {
	case <-gone:
	case <-s.stopping:
		conn.Close()
		<-gone
	}
}

// acceptRaw answers the handshake of a connection on which something is to go wrong.
func (s *Server) acceptRaw(w http.ResponseWriter, r *http.Request, path string, p plan) (*connection, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	nonce, err := base64.StdEncoding.DecodeString(key)
	if r.Method != http.MethodGet || err != nil || len(nonce) != 16 || r.Header.Get("Sec-WebSocket-Version") != "13" ||
		!hasToken(r, "Connection", "Upgrade") {
		http.Error(w, "not a handshake of RFC 6455, 4.2.1", http.StatusBadRequest)
		return nil, fmt.Errorf("not a handshake of RFC 6455")
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, switchingProtocols(key)); err != nil {
		conn.Close()
		return nil, err
	}
	raw := newRawConn(conn, rw.Reader, s.options.MaxMessage, p.steps)
	c := s.begin(raw, path, r)
	raw.fired = func(f *step) {
		s.fired(FaultEvent{Fault: f.index, Do: f.Do, Path: path, Handshake: p.number, Connection: c.result.ID,
			Bytes: raw.bytes, Messages: raw.messages})
	}
	return c, nil
}

// switchingProtocols is the answer to a handshake with the key (RFC 6455, 4.2.2).
func switchingProtocols(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return strings.Join([]string{"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]), "", ""}, "\r\n")
}
