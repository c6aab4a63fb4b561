package wsconn

import (
	"bufio"
	"bytes"
	"io"
)

// inbound gives nhooyr a control frame only when all of it is there: nhooyr allows 5 s from its header to its end, and
// ends the connection of a peer whose link stalls in between. Everything else passes as it comes, never more than one
// frame at once.
type inbound struct {
	r    *bufio.Reader
	left int64 // bytes of the current frame that have not been given yet
}

// newInbound reads what was received early, then conn.
func newInbound(early []byte, conn io.Reader) *inbound {
	if len(early) > 0 {
		conn = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	return &inbound{r: bufio.NewReader(conn)}
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
	if head, err = in.r.Peek(headerSize(head)); err != nil {
		return err
	}
	op, size := frameSize(head)
	if size < int64(len(head)) {
		// A length beyond 63 bits. nhooyr sees it in the header, and refuses it.
		size = int64(len(head))
	}
	in.left = size
	if op >= opClose && size <= maxControl {
		_, err = in.r.Peek(int(size))
	}
	return err
}
