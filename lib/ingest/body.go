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

// body reads the body of one request, straight into the buffer that it is given, and takes out there what is the chunks'
// and not the data. net/http's reader of chunks is not used because it has no deadlines: its errors stay, and so one
// pause would be the end.
//
// A deadline that was set ends a Read that waits, and a later Read goes on where that one was. Without one, the idle
// timeout counts from the beginning of each wait.
type body struct {
	conn    net.Conn
	src     io.Reader     // what has been read already, then conn
	idle    time.Duration // 0: none
	chunked bool
	// left is what has not been read yet, in bytes: of the chunk, or of a counted body.
	left      int64
	afterData bool   // a chunk has been read, so what comes behind it is the end of its line
	header    []byte // the part of a chunk's header that has been read
	limited   bool
	allowed   int64 // what may still come, if limited
	ended     error // nil until then; io.EOF when the body is complete

	mu       sync.Mutex
	deadline time.Time // that was set; zero: none
	alarm    time.Time // the connection's, for the idle timeout; zero: none
}

// newBody reads a body from conn, behind the bytes that have been read already. length is -1 for a chunked body.
// limit is the most bytes that it may have, 0 for any number.
func newBody(conn net.Conn, already []byte, length, limit int64, idle time.Duration) *body {
	var src io.Reader = conn
	if len(already) > 0 {
		src = io.MultiReader(bytes.NewReader(already), conn)
	}
	b := &body{conn: conn, src: src, idle: idle, limited: limit > 0, allowed: limit}
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
	b.deadline, b.alarm = t, time.Time{}
	return b.conn.SetReadDeadline(t)
}

// Read waits for the next bytes, and returns with them all that has arrived behind them and has room. It returns io.EOF
// only at the end of a complete body.
func (b *body) Read(p []byte) (int, error) {
	for b.ended == nil && len(p) > 0 {
		n, err := b.wait(p)
		n = b.strip(p[:n])
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

// strip moves the data in p together at its front, and returns how much that is. It ends the body where it is complete,
// malformed or too long, and leaves what is behind that.
func (b *body) strip(p []byte) (n int) {
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
				b.afterData = true
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

// nextChunk reads on in the header of the next chunk, and returns how many bytes of p were the header's: all, if it is
// not complete. The last chunk ends the body; the trailer is left where it is, for nothing follows.
func (b *body) nextChunk(p []byte) int {
	before, head := len(b.header), p
	if before > 0 {
		b.header = append(b.header, p[:min(len(p), maxChunkLine)]...)
		head = b.header
	}
	used, size, err := chunkHeader(head, b.afterData)
	switch {
	case err != nil:
		b.ended = err
		return len(p)
	case used == 0:
		if before == 0 {
			b.header = append(b.header, p...) // less than a line
		}
		return len(p)
	case size == 0:
		b.ended = io.EOF
	}
	b.left, b.header = size, b.header[:0]
	return used - before
}

// wait reads once. It leaves the alarm of an earlier wait alone, and sets it right when it has ended this one too early:
// so most waits set none.
func (b *body) wait(p []byte) (int, error) {
	since := time.Now()
	for {
		b.arm(since)
		n, err := b.src.Read(p)
		switch {
		case n > 0 && errors.Is(err, os.ErrDeadlineExceeded):
			return n, nil // it comes again
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err = b.expired(since); err == nil {
				continue
			}
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
}

// arm sets the alarm for a wait that began then, if there is none.
func (b *body) arm(since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deadline.IsZero() && b.alarm.IsZero() && b.idle > 0 {
		b.alarm = since.Add(b.idle)
		_ = b.conn.SetReadDeadline(b.alarm) // a closed connection: the read tells
	}
}

// expired says what the end of a wait means that began then: a deadline that was set, too long a wait, or nil if the
// alarm was that of an earlier wait.
func (b *body) expired(since time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.deadline.IsZero():
		return os.ErrDeadlineExceeded
	case b.idle > 0 && time.Since(since) >= b.idle:
		return errIdle
	}
	b.alarm = time.Time{}
	return nil
}
