package viewer

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/access"
)

const (
	// keyGUID makes an answer of a handshake's key (RFC 6455, 1.3).
	keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// readBuffer is how much of what a viewer sends is read at once, in bytes: any control frame.
	readBuffer = 256
)

// isWebsocket reports whether the request asks for a websocket (RFC 6455, 4.1).
func isWebsocket(r *http.Request) bool {
	for _, value := range r.Header.Values("Upgrade") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "websocket") {
				return r.Method == http.MethodGet
			}
		}
	}
	return false
}

// handshakeAnswer answers a valid handshake. Of the subprotocols the first one offered is agreed to, whatever it is:
// Chromium drops a connection without, and jsmpeg's own player offers the word null. Extensions are not.
func handshakeAnswer(r *http.Request) string {
	sum := sha1.Sum([]byte(strings.TrimSpace(r.Header.Get("Sec-WebSocket-Key")) + keyGUID))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if p := access.AgreedSubprotocol(r); p != "" {
		answer += "Sec-WebSocket-Protocol: " + p + "\r\n"
	}
	return answer + "\r\n"
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
