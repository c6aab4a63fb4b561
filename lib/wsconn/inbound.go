package wsconn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
)

// ofRecord is how much, in bytes, is taken at once of what TLS has in memory anyway, a record.
const ofRecord = 512

// inbound gives nhooyr a control frame only when all of it is there: nhooyr allows 5 s from its header to its end, and
// ends the connection of a peer whose link stalls in between. Everything else passes as it comes, never more than one
// frame at once.
type inbound struct {
	r    *bufio.Reader
	left int64 // bytes of the current frame that have not been given yet
}

// newInbound reads what r has received early, then conn, and goes on to use r's buffer.
func newInbound(r *bufio.Reader, conn io.Reader) *inbound {
	source := conn
	if early, _ := r.Peek(r.Buffered()); len(early) > 0 {
		source = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	if _, ok := conn.(*tls.Conn); ok {
		return &inbound{r: bufio.NewReaderSize(source, ofRecord)}
	}
	r.Reset(source)
	return &inbound{r: bufio.NewReaderSize(r, maxControl)} // r itself, unless it is smaller
}

func (in *inbound) Read(p []byte) (int, error) {
	if in.left == 0 {
		if err := in.next(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > in.left {
		p = p[:in.left]
	}
	n, err := in.r.Read(p)
	in.left -= int64(n)
	return n, err
}

// next waits for a frame's header; for all of it when it is a control frame.
func (in *inbound) next() error {
	head, err := in.r.Peek(2)
	if err != nil {
		return err
	}
	size := HeaderSize(head)
	if head, err = in.r.Peek(size); err != nil {
		return err
	}
	h, err := ParseHeader(head)
	if err != nil {
		return err // nhooyr would refuse it without telling the peer
	}
	in.left = int64(size) + h.Length
	if h.Control() && h.Length <= MaxControlPayload {
		_, err = in.r.Peek(int(in.left))
	}
	return err
}
