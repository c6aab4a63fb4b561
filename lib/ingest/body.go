package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

var (
	errIdle     = errors.New("the publisher sent nothing for too long")
	errTooLarge = errors.New("the publisher sent more than is allowed")
)

// bodyBuffer is how much of a body is read at once, in bytes. ffmpeg sends a frame as three small pieces or more; what
// has arrived is read together.
const bodyBuffer = 128 << 10

// body reads the body of one request. net/http's reader of chunks is not used because it has no deadlines: its errors
// stay, and so one pause would be the end.
//
// A deadline that was set ends a Read that waits, and a later Read goes on where that one was. Without one, the idle
// timeout counts from the beginning of each wait.
type body struct {
	conn    net.Conn
	buf     *bufio.Reader
	idle    time.Duration // 0: none
	chunked bool
	// left is what has not been read yet, in bytes: of the chunk, or of a counted body.
	left      int64
	afterData bool // a chunk has been read, but not the end of the line behind it
	limited   bool
	allowed   int64 // what may still come, if limited
	ended     error // nil until then; io.EOF when the body is complete

	mu       sync.Mutex
	deadline time.Time // zero: none
}

// newBody reads a body from conn, behind the bytes that have been read already. length is -1 for a chunked body.
// limit is the most bytes that it may have, 0 for any number.
func newBody(conn net.Conn, already []byte, length, limit int64, idle time.Duration) *body {
	var src io.Reader = conn
	if len(already) > 0 {
		src = io.MultiReader(bytes.NewReader(already), conn)
	}
	b := &body{
		conn: conn, buf: bufio.NewReaderSize(src, bodyBuffer), idle: idle,
		limited: limit > 0, allowed: limit,
	}
	if length < 0 {
		b.chunked = true
	} else if b.left = length; length == 0 {
		b.ended = io.EOF
	}
	return b
}

// end tells how the body ended: nil if it has not, io.EOF if it is complete.
func (b *body) end() error { return b.ended }

// SetReadDeadline may be called at any time, from anywhere.
func (b *body) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deadline = t
	return b.conn.SetReadDeadline(t)
}

// Read waits for the next bytes, and returns with them all that has arrived behind them. It returns io.EOF only at the
// end of a complete body.
func (b *body) Read(p []byte) (n int, err error) {
	for n < len(p) && b.ended == nil {
		more, err := b.next(p[n:], n == 0)
		n += more
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		b.ended = err
		if more == 0 && n > 0 {
			break
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, b.ended
}

// next reads some bytes. Unless it may wait, it answers 0 and no error when there are none.
func (b *body) next(p []byte, wait bool) (int, error) {
	if b.left == 0 {
		if ready, err := b.nextChunk(wait); !ready {
			return 0, err
		}
	}
	if b.limited && b.allowed == 0 {
		return 0, errTooLarge
	}
	if b.buf.Buffered() == 0 {
		if !wait {
			return 0, nil
		}
		b.arm()
	}
	p = p[:min(int64(len(p)), b.left)]
	if b.limited {
		p = p[:min(int64(len(p)), b.allowed)]
	}
	n, err := b.buf.Read(p)
	b.left -= int64(n)
	b.allowed -= int64(n)
	if b.left == 0 {
		b.afterData = true
		if !b.chunked {
			return n, io.EOF
		}
	}
	if err != nil {
		err = b.failed(err)
	}
	return n, err
}

// nextChunk reads on to the data of the next chunk, and answers whether it is there. At the last chunk the error is
// io.EOF; the trailer is left where it is, for nothing follows.
func (b *body) nextChunk(wait bool) (bool, error) {
	for {
		have, _ := b.buf.Peek(b.buf.Buffered())
		used, size, err := chunkHeader(have, b.afterData)
		if err != nil {
			return false, err
		}
		if used > 0 {
			_, _ = b.buf.Discard(used) // it is in the buffer
			if size == 0 {
				return false, io.EOF
			}
			b.left = size
			return true, nil
		}
		if !wait {
			return false, nil
		}
		b.arm()
		if _, err := b.buf.Peek(len(have) + 1); err != nil {
			return false, b.failed(err)
		}
	}
}

// arm sets the deadline for a wait that begins now.
func (b *body) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deadline.IsZero() && b.idle > 0 {
		_ = b.conn.SetReadDeadline(time.Now().Add(b.idle)) // a closed connection: the read tells
	}
}

// failed makes an error of the connection one of the body.
func (b *body) failed(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deadline.IsZero() && errors.Is(err, os.ErrDeadlineExceeded) {
		return errIdle
	}
	return err
}
