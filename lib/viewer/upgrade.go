package viewer

import (
	"bufio"
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

// upgrade takes the connection over and answers the handshake, which is valid. Of the subprotocols the first one offered is
// agreed to, whatever it is: Chromium drops a connection without, and stock jsmpeg pages offer the word null. Extensions
// are not.
func upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.Reader, error) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot become a websocket", http.StatusInternalServerError)
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(headerTimeout))
	sum := sha1.Sum([]byte(strings.TrimSpace(r.Header.Get("Sec-WebSocket-Key")) + keyGUID))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if p := access.AgreedSubprotocol(r); p != "" {
		answer += "Sec-WebSocket-Protocol: " + p + "\r\n"
	}
	if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	var source io.Reader = conn
	if early, _ := rw.Reader.Peek(rw.Reader.Buffered()); len(early) > 0 {
		source = io.MultiReader(strings.NewReader(string(early)), conn)
	}
	return conn, bufio.NewReaderSize(source, readBuffer), nil
}
