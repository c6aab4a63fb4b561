// Package wsconn carries binary messages over websockets (RFC 6455), for clients and servers, on links that may be slow
// for a long time. It is the only importer of nhooyr.io/websocket and none of that package's types are visible outside,
// so that moving to another library is a change in here alone.
//
// A connection is never ended because it is slow: there is no deadline but those of the caller's contexts. Whether a
// slow link is dead is for the caller to decide, by Ping, Acked and Unsent. Compression is never used. Dialling again
// is the caller's business too.
package wsconn

//lint:file-ignore SA1019 This import path is the project's choice; the code goes on as github.com/coder/websocket.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"nhooyr.io/websocket"
)

// grace is how long a connection that has ended may take for its last bytes: the answer to the peer's close frame on
// the way out, or the peer's reason behind a failed write on the way in.
const grace = time.Second

// CloseError says that the peer closed the connection with a close frame.
type CloseError struct {
	Code   int // RFC 6455, 7.4; 1005 when the peer gave none
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("closed by the peer with code %d", e.Code)
	}
	return fmt.Sprintf("closed by the peer with code %d: %q", e.Code, e.Reason)
}

// Conn is a websocket connection. Its methods may be called concurrently. Close or CloseNow must be called in the end,
// also when the connection has ended by itself; when one of them has returned, nothing of the connection is left.
type Conn struct {
	ws          *websocket.Conn
	sock        *socket
	client      bool
	maxMessage  int64 // bytes; 0: no limit
	subprotocol string
	secrets     secrets // of a client's request

	// Turns are taken by sending and given back by receiving.
	writeTurn chan struct{}
	readTurn  chan struct{}
	pingTurn  chan struct{} // held until the pong

	message    message // the one that NextMessage returned last; protected by readTurn
	discarding atomic.Bool
	closing    atomic.Bool // Close has been called

	dead     chan struct{} // closed when the connection has ended; err is set before
	tornDown chan struct{} // closed when the network connection has been closed after that

	mu      sync.Mutex
	err     error
	ended   bool           // no goroutine may be started any more
	running sync.WaitGroup // added to under mu while !ended
}

func newConn(ws *websocket.Conn, sock *socket, client bool) *Conn {
	// Conn counts what a message may have, and says so in the error.
	ws.SetReadLimit(-1)
	return &Conn{
		ws:          ws,
		sock:        sock,
		client:      client,
		subprotocol: ws.Subprotocol(),
		writeTurn:   make(chan struct{}, 1),
		readTurn:    make(chan struct{}, 1),
		pingTurn:    make(chan struct{}, 1),
		dead:        make(chan struct{}),
		tornDown:    make(chan struct{}),
	}
}

// Subprotocol returns the subprotocol agreed on, or "".
func (c *Conn) Subprotocol() string { return c.subprotocol }

// Done is closed when the connection has ended, for whatever reason. The end of a connection that nobody reads from
// or writes to is not noticed.
func (c *Conn) Done() <-chan struct{} { return c.dead }

// Err returns nil until Done is closed, then why the connection has ended: a *CloseError when the peer sent a close
// frame, net.ErrClosed (wrapped) when CloseNow ended it, else what failed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Acked returns how many bytes the peer's TCP has acknowledged, the handshake's included. It grows on any link that
// moves, also while Write is blocked. ok is false where the system does not tell (it is Linux that does).
func (c *Conn) Acked() (bytes uint64, ok bool) { return acked(c.sock.raw) }

// Buffered returns how many bytes, framing included, are in memory because the socket has not taken them yet. A message
// is handed over in pieces of 512 KiB, so within a piece it stands still.
func (c *Conn) Buffered() int64 { return c.sock.pending() }

// Write sends p as one binary message and returns when the socket has taken it all. It does not keep p. When ctx ends
// while the message is being sent, the connection has ended too.
func (c *Conn) Write(ctx context.Context, p []byte) error {
	_, err := c.write(ctx, p, false)
	return err
}

// WritePing is Write with a ping right behind the message, in the same system call where possible: its pong says that
// the peer has read the message. The Pong is nil when an earlier ping has not been answered yet (one may be
// outstanding); then the message alone was sent.
func (c *Conn) WritePing(ctx context.Context, p []byte) (*Pong, error) {
	return c.write(ctx, p, true)
}

func (c *Conn) write(ctx context.Context, p []byte, ping bool) (*Pong, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("write message: %w", context.Cause(ctx))
	}
	if err := c.take(ctx, c.writeTurn, "write"); err != nil {
		return nil, err
	}
	defer func() { <-c.writeTurn }()

	// Not nhooyr's Write: that passes each message through a buffer of 4 KiB and through another goroutine, twice, for
	// deadlines that there are none of here.
	if err := c.sock.hold(p, c.client); err != nil {
		return nil, c.writeFailed(ctx, err)
	}
	var pong *Pong
	if ping {
		pong = c.TryPing()
	}
	if err := c.sock.flush(ctx); err != nil {
		return nil, c.writeFailed(ctx, err)
	}
	return pong, nil
}

// take waits for a turn to read or write a message.
func (c *Conn) take(ctx context.Context, turn chan<- struct{}, what string) error {
	select {
	case turn <- struct{}{}:
		return nil
	default: // somebody else's: wait, at the price of looking at three things
	}
	select {
	case turn <- struct{}{}:
		return nil
	case <-c.dead:
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
		case <-c.dead:
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return c.fail(fmt.Errorf("write message: %w", err))
}

// fail ends the connection for the reason given, unless it has ended before, and returns the reason that counts.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.dead)
		c.running.Go(c.tearDown)
	}
	return c.err
}

func (c *Conn) tearDown() {
	defer close(c.tornDown)
	c.ws.CloseNow()
	var answered *CloseError
	c.sock.linger(grace, !errors.As(c.Err(), &answered))
}

// start runs f in a goroutine that end waits for. It reports whether it did.
func (c *Conn) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.running.Go(f)
	return true
}

// readError makes nhooyr's error one of this package. What a server says to a client is for the log, and may repeat what
// the client has told it.
func (c *Conn) readError(err error) error {
	var ce websocket.CloseError
	var op *net.OpError
	switch {
	case errors.As(err, &ce) && c.client:
		return &CloseError{Code: int(ce.Code), Reason: excerpt(c.secrets.scrub(ce.Reason))}
	case errors.As(err, &ce):
		return &CloseError{Code: int(ce.Code), Reason: ce.Reason}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the peer ended the connection without a close frame: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &op):
		return op
	}
	return fmt.Errorf("read message: %w", err)
}
