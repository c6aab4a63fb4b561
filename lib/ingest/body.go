package ingest

import (
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

// body reads the body of one request straight into the caller's buffer, and removes the chunked coding in place.
// net/http's reader of chunks keeps the error of an expired deadline, so that one pause would end the body.
//
// A deadline that was set ends a Read that waits, and a later Read continues. Without one, the idle timeout counts from
// the beginning of each Read.
type body struct {
	conn    net.Conn
	src     io.Reader     // the bytes read with the header, then conn
	idle    time.Duration // 0: none
	chunked bool
	// left is how many bytes of the chunk, or of a body with a length, have not been read.
	left       int64
	atChunkEnd bool   // the data of a chunk has been read; the end of its line follows
	header     []byte // the part of a chunk header that has been read
	limited    bool
	allowed    int64 // how many bytes may still come, if limited
	ended      error // nil until then; io.EOF when the body is complete

	mu           sync.Mutex
	deadline     time.Time // that was set; zero: none
	idleDeadline time.Time // the connection's, for the idle timeout; zero: none
}

// newBody reads a body from conn, after the bytes that were read with the header. length is -1 for a chunked body;
// limit is the most bytes it may have, 0 for no limit.
func newBody(conn net.Conn, buffered []byte, length, limit int64, idle time.Duration) *body {
	var src io.Reader = conn
	if len(buffered) > 0 {
		src = io.MultiReader(bytes.NewReader(buffered), conn)
	}
	b := &body{conn: conn, src: src, idle: idle, limited: limit > 0, allowed: limit}
	if length < 0 {
		b.chunked = true
	} else if b.left = length; length == 0 {
		b.ended = io.EOF
	}
	return b
}

// end returns nil until the body has ended, then io.EOF if it was complete, or why it was not.
func (b *body) end() error { return b.ended }

// SetReadDeadline may be called at any time, from anywhere.
func (b *body) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deadline, b.idleDeadline = t, time.Time{}
	return b.conn.SetReadDeadline(t)
}

// Read waits for the next bytes of data, and returns them with all that has arrived after them and fits. It returns
// io.EOF only at the end of a complete body. Only data ends the wait: the headers of chunks do not say that the stream
// goes on.
func (b *body) Read(p []byte) (int, error) {
	since := time.Now()
	for b.ended == nil && len(p) > 0 {
		n, err := b.wait(p, since)
		n = b.dechunk(p[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if b.ended == nil {
			b.ended = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.ended
}

// dechunk moves the data in p to its front, and returns its length. It ends the body where that is complete, malformed
// or too long, and ignores what follows.
func (b *body) dechunk(p []byte) (n int) {
	for at := 0; at < len(p) && b.ended == nil; {
		if b.left == 0 {
			at += b.nextChunk(p[at:])
		} else {
			size := int(min(int64(len(p)-at), b.left))
			if b.limited {
				size = int(min(int64(size), b.allowed))
				b.allowed -= int64(size)
			}
			if n < at {
				copy(p[n:], p[at:at+size])
			}
			n, at = n+size, at+size
			if b.left -= int64(size); b.left == 0 {
				b.atChunkEnd = true
				if !b.chunked {
					b.ended = io.EOF
				}
			}
		}
		if b.left > 0 && b.limited && b.allowed == 0 {
			b.ended = errTooLarge
		}
	}
	return n
}

// nextChunk continues to read the header of the next chunk, and returns how many bytes of p belong to it: all, if it is
// not complete. The last chunk ends the body. The trailer is not read, because no other request follows.
func (b *body) nextChunk(p []byte) int {
	before, head := len(b.header), p
	if before > 0 {
		b.header = append(b.header, p[:min(len(p), maxChunkLine)]...)
		head = b.header
	}
	used, size, err := chunkHeader(head, b.atChunkEnd)
	switch {
	case err != nil:
		b.ended = err
		return len(p)
	case used == 0:
		if before == 0 {
			b.header = append(b.header, p...) // not a whole line yet
		}
		return len(p)
	case size == 0:
		b.ended = io.EOF
	}
	b.left, b.header = size, b.header[:0]
	return used - before
}

// wait reads once, in a wait that began at since. It keeps the deadline of an earlier wait, and corrects it when it has
// ended this one too early, so that most waits need no system call for it.
func (b *body) wait(p []byte, since time.Time) (int, error) {
	for {
		b.setIdleDeadline(since)
		n, err := b.src.Read(p)
		switch {
		case n > 0 && errors.Is(err, os.ErrDeadlineExceeded):
			return n, nil // the next read returns it again
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err = b.idleError(since); err == nil {
				continue
			}
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
}

// setIdleDeadline sets the deadline for a wait that began at since, if there is none.
func (b *body) setIdleDeadline(since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deadline.IsZero() && b.idleDeadline.IsZero() && b.idle > 0 {
		b.idleDeadline = since.Add(b.idle)
		_ = b.conn.SetReadDeadline(b.idleDeadline) // on a closed connection the read returns the error
	}
}

// idleError returns why a wait that began at since has ended: a deadline that was set, too long a wait, or nil if the
// deadline was that of an earlier wait.
func (b *body) idleError(since time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.deadline.IsZero():
		return os.ErrDeadlineExceeded
	case b.idle > 0 && time.Since(since) >= b.idle:
		return errIdle
	}
	b.idleDeadline = time.Time{}
	return nil
}
