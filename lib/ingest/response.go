package ingest

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/timdrysdale/vw/lib/access"
)

const (
	// responseTimeout limits how long a response may take to leave.
	responseTimeout = 5 * time.Second
	// resetDelay is how long a connection stays open after a response that its client does not expect yet. curl looks
	// for one between two writes, and would see only a reset that overtakes the response.
	resetDelay = 250 * time.Millisecond
	// drainTimeout and drainLimit limit how long, and how many bytes, are read after a complete body: its trailer.
	drainTimeout = time.Second
	drainLimit   = 64 << 10
)

// response is what a client is answered.
type response struct {
	status int
	text   string        // what is wrong; "" with 204
	reason access.Reason // why the client was refused; "" if it was not
	header string        // one more header line; may be ""
}

const (
	challenge = `WWW-Authenticate: Basic realm="vw-ingest"`
	version   = "Sec-WebSocket-Version: 13"
)

// The responses.
var (
	delivered       = response{status: http.StatusNoContent}
	wrongMethod     = response{405, "publish with POST, PUT or a websocket", access.BadRequest, "Allow: POST, PUT"}
	noToken         = response{401, "the token is missing or wrong", access.BadToken, challenge}
	forbiddenOrigin = response{403, "a web page of another host needs a token", access.BadOrigin, ""}
	noLength        = response{411, "send a Content-Length, or chunks", access.BadRequest, ""}
	encoded         = response{415, "send the stream without a Content-Encoding", access.BadRequest,
		"Accept-Encoding: identity"}
	wrongPackets   = response{415, "send MPEG-TS with packets of 188 bytes", access.BadRequest, ""}
	wrongExpect    = response{417, "expect nothing but 100-continue", access.BadRequest, ""}
	tooLarge       = response{413, "more than the allowed size", access.BadRequest, ""}
	conflict       = response{409, "another publisher is active", access.Conflict, ""}
	replaced       = response{409, "another publisher has taken over", access.Conflict, ""}
	revoked        = response{401, "the token is not valid any more", access.BadToken, ""}
	requestTimeout = response{408, "nothing was sent for too long", access.SlowRequest, ""}
	malformed      = response{400, "the body is malformed or incomplete", access.BadRequest, ""}
	stopping       = response{503, "not taking any more", access.Stopping, ""}
	tooMany        = response{429, "too many connections", access.TooMany, ""}

	badHeader     = response{400, "the header is malformed", access.BadRequest, ""}
	headerTooLong = response{431, "the header is too long", access.BadRequest, ""}
	slowHeader    = response{408, "the header took too long", access.SlowRequest, ""}
	wrongProtocol = response{505, "use HTTP/1.1", access.BadRequest, ""}
	badHandshake  = response{400, "this is no websocket handshake of version 13", access.BadRequest, version}
	usesTLS       = response{400, "this port takes TLS only", access.BadRequest, ""}
)

func (r response) append(b []byte) []byte {
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\nConnection: close\r\n", r.status, http.StatusText(r.status))
	if r.header != "" {
		b = append(append(b, r.header...), "\r\n"...)
	}
	if r.text == "" {
		return append(b, "\r\n"...)
	}
	return fmt.Appendf(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
		len(r.text)+1, r.text)
}

// send writes the response, and ends this direction of the connection. A client that has gone needs no response.
func (c *connection) send(response []byte) {
	_ = c.SetWriteDeadline(time.Now().Add(responseTimeout))
	if _, err := c.Write(response); err != nil {
		return
	}
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.Conn != c.raw { // TLS ends before TCP
		_ = t.CloseWrite()
	}
	if t, ok := c.raw.(interface{ CloseWrite() error }); ok {
		_ = t.CloseWrite()
	}
}

// refuse answers a client that is not let in, and logs it.
func (s *Server) refuse(c *connection, r response) {
	s.refused(c, r.status, r.reason)
	s.closeReset(c, r)
}

// closeReset responds and closes without reading what the client still sends. That resets the connection, so a client
// that never looks at the response fails at its next write. The connection closes after resetDelay, and nothing waits
// for that.
func (s *Server) closeReset(c *connection, r response) { s.closeLater(c, r.append(nil)) }

func (s *Server) closeLater(c *connection, response []byte) {
	c.send(response)
	c.handedOver = true
	s.lingering.add(c.raw)
}

// closeDrained responds to a client whose body is complete, and closes. It reads the trailer of the body first: closing
// with anything unread would reset the connection, and the response could be lost.
func closeDrained(c *connection, response []byte) {
	c.send(response)
	_ = c.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.CopyN(io.Discard, c, drainLimit)
}
