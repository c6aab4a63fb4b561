package ingest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// isWebsocket reports whether the request asks for a websocket (RFC 6455, 4.1).
func isWebsocket(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header, "Upgrade", "websocket")
}

// upgrade answers a websocket handshake. It agrees to the first subprotocol offered: they all carry the stream.
func upgrade(c *connection, r *http.Request, rest []byte) (*wsconn.Conn, error) {
	var o wsconn.AcceptOptions
	if p := access.AgreedSubprotocol(r); p != "" {
		o.Subprotocols = []string{p}
	}
	return wsconn.Accept(&upgradeWriter{conn: c.Conn, rest: rest, header: http.Header{}}, r, o)
}

// upgradeWriter is the http.ResponseWriter of a handshake.
type upgradeWriter struct {
	conn   net.Conn
	rest   []byte // what was read after the header
	header http.Header
	err    error
}

func (w *upgradeWriter) Header() http.Header { return w.header }

// WriteHeader sends the header: 101, or that of an error.
func (w *upgradeWriter) WriteHeader(status int) {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	buf := bytes.NewBuffer(b)
	_ = w.header.Write(buf) // a buffer takes all
	buf.WriteString("\r\n")
	_ = w.conn.SetWriteDeadline(time.Now().Add(responseTimeout))
	_, w.err = w.conn.Write(buf.Bytes())
	_ = w.conn.SetWriteDeadline(time.Time{})
}

func (w *upgradeWriter) Write(p []byte) (int, error) { return w.conn.Write(p) }

// upgradeBuffer is the size of a websocket's read buffer, in bytes.
const upgradeBuffer = 4 << 10

// Hijack gives the connection away, with what was read after the header.
func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.err != nil {
		return nil, nil, w.err
	}
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(w.rest), w.conn), max(len(w.rest), upgradeBuffer))
	if _, err := r.Peek(len(w.rest)); err != nil {
		return nil, nil, err
	}
	return w.conn, bufio.NewReadWriter(r, bufio.NewWriter(w.conn)), nil
}
