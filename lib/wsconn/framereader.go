package wsconn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
)

// tlsReadSize is the size in bytes of the read buffer over TLS, which has a whole record in memory anyway.
const tlsReadSize = 512

// errProtocol says that the peer broke the rules of RFC 6455.
var errProtocol = errors.New("websocket protocol violation")

// frameReader reads frames and checks that each is allowed where it stands. Only who holds the turn to read may use it.
type frameReader struct {
	r      *bufio.Reader
	masked bool // the peer is a client, which masks all its frames (RFC 6455, 5.3); a server masks none

	frame      Header // the present one
	left       int64  // bytes of its payload that have not been read
	mask       mask
	fragmented bool // a continuation frame must follow, after control frames
}

// newFrameReader reads what r, which has read the handshake, has in its buffer, then conn. It takes r over.
func newFrameReader(r *bufio.Reader, conn io.Reader, masked bool) frameReader {
	source := conn
	if early, _ := r.Peek(r.Buffered()); len(early) > 0 {
		source = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	if _, ok := conn.(*tls.Conn); ok {
		return frameReader{r: bufio.NewReaderSize(source, tlsReadSize), masked: masked}
	}
	r.Reset(source)
	return frameReader{r: bufio.NewReaderSize(r, tlsReadSize), masked: masked} // r itself, unless it is smaller
}

// next reads the header of the next frame. The payload of the frame before must have been read.
func (f *frameReader) next() error {
	h, err := ReadHeader(f.r)
	if err != nil && err != ErrFrameLength {
		return unexpectedEOF(err)
	}
	if err == nil {
		err = h.Check(f.masked, f.fragmented)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	f.frame, f.left = h, h.Length
	if h.Masked {
		f.mask.set(h.Key, h.Length)
	}
	if !h.Control() {
		f.fragmented = !h.Final
	}
	return nil
}

// read reads of the frame's payload what has arrived, at least one byte. There must be some left.
func (f *frameReader) read(p []byte) (int, error) {
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	if f.frame.Masked {
		f.mask.xor(p[:n], p[:n], f.frame.Length-f.left)
	}
	f.left -= int64(n)
	return n, unexpectedEOF(err)
}

// skip throws away the rest of the frame's payload.
func (f *frameReader) skip() error {
	for f.left > 0 {
		n, err := f.r.Discard(int(min(f.left, 1<<20)))
		f.left -= int64(n)
		if err != nil {
			return unexpectedEOF(err)
		}
	}
	return nil
}

// unexpectedEOF replaces io.EOF: an end without a close frame must not look like the end of a message.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
