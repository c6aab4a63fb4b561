package wsconn

//lint:file-ignore SA1019 This import path is the project's choice; the code goes on as github.com/coder/websocket.

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
	"nhooyr.io/websocket"
)

// AcceptOptions are what a server may ask for. The zero value takes everybody and everything.
type AcceptOptions struct {
	// Subprotocols that the server speaks, the preferred one first. A client that asks for none of them is accepted, with
	// none agreed on.
	Subprotocols []string
	// MaxMessage is the longest message, in bytes, that NextMessage gives; 0 means no limit.
	MaxMessage int64
	// Origins, when not nil, are the patterns (path.Match) of the hosts whose pages may connect, next to the server's own.
	// Nil means that any page may: no cookie lets a browser act for somebody else here.
	Origins []string
}

// IsHandshake reports whether r is a handshake that Accept can take (RFC 6455, 4.2.1).
func IsHandshake(r *http.Request) bool {
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 || r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0]))
	return httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") && r.Header.Get("Sec-WebSocket-Version") == "13" && err == nil && len(key) == 16
}

// Accept answers a websocket handshake. On an error it has answered the request.
func Accept(w http.ResponseWriter, r *http.Request, o AcceptOptions) (*Conn, error) {
	h := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:       o.Subprotocols,
		InsecureSkipVerify: o.Origins == nil,
		OriginPatterns:     o.Origins,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, fmt.Errorf("accept websocket: %w", err)
	}
	c := newConn(ws, h.sock, false)
	c.maxMessage = o.MaxMessage
	return c, nil
}

// passOn is how much, in bytes, nhooyr's own buffers hold: any control frame. What there is to be read waits in inbound,
// and what there is to be sent in the socket.
const passOn = 256

// hijacker puts a socket under the connection that nhooyr takes over.
type hijacker struct {
	http.ResponseWriter
	sock *socket
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.sock = newSocket(conn)
	tune(h.sock.raw)
	h.sock.begin(rw.Reader)
	return h.sock, bufio.NewReadWriter(bufio.NewReaderSize(h.sock, passOn), bufio.NewWriterSize(h.sock, passOn)), nil
}
