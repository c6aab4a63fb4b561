// Package wsconn carries binary messages over websockets (RFC 6455), for clients and servers, on links that may be slow
// for a long time. It is the only importer of nhooyr.io/websocket, and none of that package's types are visible
// outside.
//
// nhooyr.io/websocket makes the handshakes. What follows them is read and written here, because vw needs what that
// package does not offer: no fixed timeouts on a slow link, a message written in one system call, a message's bytes as
// they arrive, and pongs that wait until what came before them has been delivered.
//
// A connection never ends because it is slow: the only deadlines are those of the caller's contexts. The caller decides
// whether a slow link is dead, by Ping, Acked, Received and Buffered, and when to dial again. Compression is never
// used.
//
// The package is vw's own and may change.
package wsconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// grace is how long a connection that has ended may take for its last bytes: the answer to the peer's close frame on
// the way out, or the peer's reason after a failed write on the way in.
const grace = time.Second

// notsentLowat is how many unsent bytes the kernel may take of a connection; see SetNotsentLowat.
const notsentLowat = 64 << 10

// CloseError says that the peer closed the connection with a close frame.
type CloseError struct {
	Code   int // RFC 6455, 7.4; StatusNoStatusRcvd when the peer gave none
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("closed by the peer with code %d", e.Code)
	}
	return fmt.Sprintf("closed by the peer with code %d: %q", e.Code, e.Reason)
}

// Conn is a websocket connection. Its methods may be called concurrently. The caller must call Close or CloseNow in the
// end, also when the connection has ended by itself. When one of them has returned, nothing of the connection is left.
type Conn struct {
	client      bool
	maxMessage  int64 // bytes; 0: no limit
	subprotocol string
	secrets     secrets // of a client's request

	out *writeBuffer

	// A semaphore is acquired by sending and released by receiving.
	writeSem chan struct{}
	readSem  chan struct{}
	pingSem  chan struct{} // held until the pong

	in         frameReader // protected by readSem
	message    message     // the one that NextMessage returned last; protected by readSem
	reads      ctxWatch    // armed under readSem
	received   atomic.Int64
	discarding atomic.Bool
	closing    atomic.Bool // Close has been called

	done   chan struct{} // closed when the connection has ended; err is set before
	closed chan struct{} // closed when the network connection has been closed after that

	pongs pongs

	mu      sync.Mutex
	err     error
	pings   uint64         // sent
	pending *Pong          // of the ping that is outstanding, the last one sent
	ended   bool           // no goroutine may be started any more
	running sync.WaitGroup // added to under mu while !ended
}

// newConn returns the connection whose handshake has been read from r.
func newConn(conn net.Conn, r *bufio.Reader, client bool, subprotocol string) *Conn {
	c := &Conn{
		client:      client,
		subprotocol: subprotocol,
		out:         newWriteBuffer(conn, client),
		in:          newFrameReader(r, conn, !client),
		writeSem:    make(chan struct{}, 1),
		readSem:     make(chan struct{}, 1),
		pingSem:     make(chan struct{}, 1),
		done:        make(chan struct{}),
		closed:      make(chan struct{}),
	}
	c.reads.cut = func(error) { conn.SetReadDeadline(past) }
	return c
}

// Subprotocol returns the subprotocol agreed on, or "".
func (c *Conn) Subprotocol() string { return c.subprotocol }

// Done is closed when the connection has ended, for whatever reason. The end of a connection is only noticed while it
// is read from or written to.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns nil until Done is closed, then why the connection has ended: a *CloseError when the peer sent a close
// frame, net.ErrClosed (wrapped) when CloseNow ended it, else what failed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Acked returns how many bytes the peer's TCP has acknowledged, the handshake's included. It grows on any link that
// moves, also while Write is blocked. ok is false where the system does not report it (Linux does).
func (c *Conn) Acked() (bytes uint64, ok bool) { return acked(c.out.raw) }

// Received returns how many frames of any kind have come from the peer. Each is a sign of life.
func (c *Conn) Received() int64 { return c.received.Load() }

// Buffered returns how many bytes, framing included, are in memory because the network has not taken them yet. A
// message is handed over in pieces of 512 KiB, so within a piece the figure stands still.
func (c *Conn) Buffered() int64 { return c.out.buffered() }

// Write sends p as one binary message and returns when the network has taken it all. It does not keep p. When ctx ends
// while the message is being sent, the connection has ended too.
func (c *Conn) Write(ctx context.Context, p []byte) error {
	_, err := c.write(ctx, p, false)
	return err
}

// WritePing is Write with a ping after the message, in the same system call where possible. Its pong says that the peer
// has read the message. The Pong is nil when an earlier ping is outstanding (only one may be); then only the message
// was sent.
func (c *Conn) WritePing(ctx context.Context, p []byte) (*Pong, error) {
	return c.write(ctx, p, true)
}

// CanPost reports whether Post is likely to send all at once: it is not TLS, nothing else is being sent, and nothing
// has failed.
func (c *Conn) CanPost() bool { return c.out.canPost() }

// Post sends p as one binary message, and does not wait: what the network does not take now is kept and sent by another
// goroutine. It does not keep p. Call it only while CanPost reports true and nothing else writes messages. When the
// connection has ended, nothing is sent, and only Err and the next Write say so.
func (c *Conn) Post(p []byte) { c.out.post(p) }

func (c *Conn) write(ctx context.Context, p []byte, ping bool) (*Pong, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("write message: %w", context.Cause(ctx))
	}
	if err := c.acquire(ctx, c.writeSem, "write"); err != nil {
		return nil, err
	}
	defer func() { <-c.writeSem }()
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := c.out.stage(p); err != nil {
		return nil, c.writeFailed(ctx, err)
	}
	var pong *Pong
	if ping {
		pong = c.TryPing()
	}
	if err := c.out.flush(ctx); err != nil {
		return nil, c.writeFailed(ctx, err)
	}
	return pong, nil
}

// acquire waits for the turn to read or write a message.
func (c *Conn) acquire(ctx context.Context, sem chan<- struct{}, what string) error {
	select {
	case sem <- struct{}{}:
		return nil
	default: // taken: wait, which costs a select of three
	}
	select {
	case sem <- struct{}{}:
		return nil
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return fmt.Errorf("%s message: %w", what, context.Cause(ctx))
	}
}

// writeFailed ends the connection and returns the best reason there is. When the peer has closed the connection, its
// close frame says more than the broken pipe does, and may be about to be read.
func (c *Conn) writeFailed(ctx context.Context, err error) error {
	if errors.Is(err, errClosing) && c.closing.Load() {
		return fmt.Errorf("write message: %w", err)
	}
	if ctx.Err() == nil && c.discarding.Load() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-c.done:
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return c.fail(fmt.Errorf("write message: %w", err))
}

// fail ends the connection for the given reason, unless it has ended before, and returns the reason that counts.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		if c.pending != nil {
			c.pending.err = err
			c.resolvePing()
		}
		close(c.done)
		c.running.Go(c.shutdown)
	}
	return c.err
}

// shutdown lets the last frames leave and closes the network connection.
func (c *Conn) shutdown() {
	defer close(c.closed)
	c.out.conn.SetReadDeadline(past)
	c.readSem <- struct{}{} // for good: linger reads from here on
	var peerClosed *CloseError
	c.out.linger(grace, !errors.As(c.Err(), &peerClosed))
}

// start runs f in a goroutine that end waits for.
func (c *Conn) start(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.running.Go(f)
	}
}

// readError describes why reading failed.
func readError(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the peer ended the connection without a close frame: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &op):
		return op
	}
	return fmt.Errorf("read message: %w", err)
}
