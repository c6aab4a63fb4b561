package wsconn

//lint:file-ignore SA1019 This import path is the project's choice; the code goes on as github.com/coder/websocket.

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
	"nhooyr.io/websocket"
)

// AcceptOptions are what a server may ask for. The zero value accepts every client and message.
type AcceptOptions struct {
	// Subprotocols that the server speaks, the preferred one first. A client that asks for none of them is accepted
	// without one.
	Subprotocols []string
	// MaxMessage is the longest message, in bytes, that NextMessage returns; 0 means no limit.
	MaxMessage int64
	// Origins, when not nil, are patterns (path.Match) of hosts whose pages may connect, besides the server's own. Nil
	// means that any page may.
	Origins []string
}

// IsHandshake reports whether r is a handshake that Accept can answer (RFC 6455, 4.2.1).
func IsHandshake(r *http.Request) bool {
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 || r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0]))
	return httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") &&
		r.Header.Get("Sec-WebSocket-Version") == "13" && err == nil && len(key) == 16
}

// acceptGUID is what a server adds to a handshake's key (RFC 6455, 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AcceptKey returns the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455, 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(strings.TrimSpace(key) + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// SwitchingProtocols returns the response to a handshake with the key, for a server that does not use Accept. The
// subprotocol is one that the client has offered, or "".
func SwitchingProtocols(key, subprotocol string) string {
	response := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + AcceptKey(key) + "\r\n"
	if subprotocol != "" {
		response += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	return response + "\r\n"
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
	ws.CloseNow()
	SetNotsentLowat(h.conn, notsentLowat)
	c := newConn(h.conn, h.r, false, ws.Subprotocol())
	c.maxMessage = o.MaxMessage
	return c, nil
}

// hijacker keeps the connection that nhooyr takes over, and gives it a handedOver instead.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
	r    *bufio.Reader
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn, h.r = conn, rw.Reader
	var end handedOver
	return end, bufio.NewReadWriter(bufio.NewReaderSize(end, 16), bufio.NewWriterSize(end, 16)), nil
}

// handedOver is what nhooyr gets as the connection when it has made the handshake: it is at its end, and closing it
// closes nothing.
type handedOver struct{ net.Conn }

func (handedOver) Read([]byte) (int, error)    { return 0, io.EOF }
func (handedOver) Write(p []byte) (int, error) { return len(p), nil }
func (handedOver) Close() error                { return nil }
