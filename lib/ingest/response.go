package ingest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// responseTimeout limits how long a response may take to leave.
	responseTimeout = 5 * time.Second
	// resetDelay is how long a connection stays open after a response that its client does not expect yet. curl looks for
	// one between two writes, and would see only a reset that overtakes the response.
	resetDelay = 250 * time.Millisecond
	// drainTimeout and drainLimit limit how long, and how many bytes, are read after a complete body: its trailer.
	drainTimeout = time.Second
	drainLimit   = 64 << 10
)

// response is what a publisher is answered.
type response struct {
	status int
	text   string // what went wrong; "" with 204
	header string // one more header line; may be ""
}

// The responses.
var (
	delivered        = response{status: http.StatusNoContent}
	wrongMethod      = response{http.StatusMethodNotAllowed, "publish with POST, PUT or a websocket", "Allow: POST, PUT"}
	noToken          = response{http.StatusUnauthorized, "the token is missing or wrong", `WWW-Authenticate: Basic realm="vw-ingest"`}
	forbiddenOrigin  = response{status: http.StatusForbidden, text: "a web page of another host needs a token"}
	noLength         = response{status: http.StatusLengthRequired, text: "send a Content-Length, or chunks"}
	tooLarge         = response{status: http.StatusRequestEntityTooLarge, text: "more than the allowed size"}
	conflict         = response{status: http.StatusConflict, text: "another publisher is active"}
	replaced         = response{status: http.StatusConflict, text: "another publisher has taken over"}
	tooSlow          = response{status: http.StatusRequestTimeout, text: "nothing was sent for too long"}
	malformed        = response{status: http.StatusBadRequest, text: "the body is malformed or incomplete"}
	stopping         = response{status: http.StatusServiceUnavailable, text: "not taking any more"}
	unsupportedProto = response{status: http.StatusHTTPVersionNotSupported, text: "use HTTP/1.1"}
)

func (r response) append(b []byte) []byte {
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\nConnection: close\r\n", r.status, http.StatusText(r.status))
	if r.header != "" {
		b = append(append(b, r.header...), "\r\n"...)
	}
	if r.text == "" {
		return append(b, "\r\n"...)
	}
	return fmt.Appendf(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n", len(r.text)+1, r.text)
}

// send writes the response, and ends this direction of the connection. A client that has gone needs no response.
func (r response) send(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(responseTimeout))
	if _, err := conn.Write(r.append(nil)); err != nil {
		return
	}
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS: its own end, and then that of TCP
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		conn = c.NetConn()
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// closeReset responds and closes without reading what the client still sends. That resets the connection, so a client
// that never looks at the response fails at its next write. It closes after resetDelay, or when done is closed.
func closeReset(conn net.Conn, r response, done <-chan struct{}) {
	r.send(conn)
	t := time.NewTimer(resetDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
	_ = conn.Close()
}

// closeDrained responds to a client whose body is complete, and closes. It reads the trailer of the body first: closing
// with anything unread would reset the connection, and the response could be lost.
func closeDrained(conn net.Conn, r response) {
	r.send(conn)
	_ = conn.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.CopyN(io.Discard, conn, drainLimit)
	_ = conn.Close()
}
