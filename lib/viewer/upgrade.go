package viewer

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// readBuffer is how much of what a viewer sends is read at once, in bytes: any control frame.
const readBuffer = 256

// isWebsocket reports whether the request asks for a websocket (RFC 6455, 4.1).
func isWebsocket(r *http.Request) bool {
	return r.Method == http.MethodGet && httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
}

// handshakeAnswer answers a valid handshake. Of the subprotocols the first one offered is agreed to, whatever it is:
// Chromium drops a connection without, and jsmpeg's own player offers the word null. Extensions are not.
func handshakeAnswer(r *http.Request) string {
	return wsconn.SwitchingProtocols(r.Header.Get("Sec-WebSocket-Key"), access.AgreedSubprotocol(r))
}

// sendAnswer sends the answer to a handshake, and lifts the deadlines of the request.
func sendAnswer(conn net.Conn, answer string) error {
	_ = conn.SetDeadline(time.Now().Add(headerTimeout))
	if _, err := io.WriteString(conn, answer); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// readAfter reads what came with the request, and then from the connection.
func readAfter(early []byte, conn net.Conn) *bufio.Reader {
	var source io.Reader = conn
	if len(early) > 0 {
		source = io.MultiReader(bytes.NewReader(early), conn)
	}
	return bufio.NewReaderSize(source, readBuffer)
}
