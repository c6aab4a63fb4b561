package ingest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// answerPatience is how long a client may take to take an answer in.
	answerPatience = 5 * time.Second
	// cutPatience is how long a connection stays open behind an answer that its client may not expect yet. curl looks for
	// one between two writes; a reset that overtakes it is all that curl would see.
	cutPatience = 250 * time.Millisecond
	// drainPatience and drainLimit bound how long, and how many bytes, are read behind a complete body: its trailer.
	drainPatience = time.Second
	drainLimit    = 64 << 10
)

// answer is a response to a publisher.
type answer struct {
	status int
	text   string // what went wrong; "" with 204
	header string // one more header line; may be ""
}

// answers to what is wrong with a request, or with its body.
var (
	delivered        = answer{status: http.StatusNoContent}
	wrongMethod      = answer{http.StatusMethodNotAllowed, "publish with POST, PUT or a websocket", "Allow: POST, PUT"}
	noToken          = answer{http.StatusUnauthorized, "the token is missing or wrong", `WWW-Authenticate: Basic realm="vw-ingest"`}
	foreignPage      = answer{status: http.StatusForbidden, text: "a web page of another host needs a token"}
	noLength         = answer{status: http.StatusLengthRequired, text: "send a Content-Length, or chunks"}
	tooLarge         = answer{status: http.StatusRequestEntityTooLarge, text: "more than the allowed size"}
	occupied         = answer{status: http.StatusConflict, text: "another publisher is active"}
	takenOver        = answer{status: http.StatusConflict, text: "another publisher has taken over"}
	tooSlow          = answer{status: http.StatusRequestTimeout, text: "nothing was sent for too long"}
	malformed        = answer{status: http.StatusBadRequest, text: "the body is malformed or incomplete"}
	stopping         = answer{status: http.StatusServiceUnavailable, text: "not taking any more"}
	unsupportedProto = answer{status: http.StatusHTTPVersionNotSupported, text: "use HTTP/1.1"}
)

func (a answer) append(b []byte) []byte {
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\nConnection: close\r\n", a.status, http.StatusText(a.status))
	if a.header != "" {
		b = append(append(b, a.header...), "\r\n"...)
	}
	if a.text == "" {
		return append(b, "\r\n"...)
	}
	return fmt.Appendf(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n", len(a.text)+1, a.text)
}

// send writes the answer, and the end of what this side writes. A client that is gone needs none.
func (a answer) send(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(answerPatience))
	if _, err := conn.Write(a.append(nil)); err != nil {
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

// cut answers and closes without reading what the client still sends: that resets the connection, so that a client
// which never looks at the answer fails at its next write. It waits for cutPatience, or until over.
func cut(conn net.Conn, a answer, over <-chan struct{}) {
	a.send(conn)
	t := time.NewTimer(cutPatience)
	defer t.Stop()
	select {
	case <-t.C:
	case <-over:
	}
	_ = conn.Close()
}

// finish answers a client whose body is complete, and closes. The trailer of the body is read first: closing with
// anything unread would reset the connection, and the answer could be lost.
func finish(conn net.Conn, a answer) {
	a.send(conn)
	_ = conn.SetReadDeadline(time.Now().Add(drainPatience))
	_, _ = io.CopyN(io.Discard, conn, drainLimit)
	_ = conn.Close()
}
