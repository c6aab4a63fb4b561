package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// websocketConn is the websocket under a connection: a wsconn.Conn, or a faultyConn where something goes wrong on
// purpose, because a correct library cannot misbehave.
type websocketConn interface {
	NextMessage(ctx context.Context) (isText bool, r io.Reader, err error)
	// Close closes the connection and discards what still comes; SendClose leaves that to NextMessage. Only the caller
	// of NextMessage may close a faultyConn with Close.
	Close(ctx context.Context, code int, reason string) error
	SendClose(code int, reason string)
	CloseNow()
}

// faultyConn is a server's websocket connection that injects faults. One goroutine reads it and injects them; when a
// fault is due by time, the read deadline wakes that goroutine.
type faultyConn struct {
	conn       net.Conn
	r          *bufio.Reader
	maxMessage int64
	started    time.Time
	onFault    func(*pendingFault) // called before a fault is injected

	sentClose atomic.Bool   // what the peer closes with is the answer
	stop      chan struct{} // closed by CloseNow and SendClose
	stopMu    sync.Mutex    // held while stop is closed and while a flood starts: no flood starts afterwards
	writeMu   sync.Mutex    // held while a frame is written
	flood     sync.WaitGroup

	// Of the reading goroutine.
	pending     []*pendingFault
	bytes       int64 // of messages
	messages    int64 // whole ones
	frame       wsconn.Header
	left        int64 // bytes of the frame that have not been read
	inMessage   bool  // a message has begun and not ended
	size        int64 // of the message so far
	ignorePings bool
	pongDelay   time.Duration
	latePongs   []latePong
	rate        int64     // bytes a second; 0: no limit
	paidUntil   time.Time // when the rate allows the next read
}

// latePong is a pong that is sent later.
type latePong struct {
	due     time.Time
	payload []byte
}

// closedByServer says that this side ended the connection, with a close frame or (1006) without.
type closedByServer struct {
	code   int
	reason string
}

func (e *closedByServer) Error() string { return fmt.Sprintf("closed with code %d", e.code) }

func newFaultyConn(conn net.Conn, r *bufio.Reader, maxMessage int64, faults []*pendingFault) *faultyConn {
	return &faultyConn{conn: conn, r: r, maxMessage: maxMessage, started: time.Now(), pending: faults,
		stop: make(chan struct{})}
}

// NextMessage waits for a message, as that of wsconn.Conn does.
func (c *faultyConn) NextMessage(context.Context) (isText bool, r io.Reader, err error) {
	if c.inMessage {
		if _, err := io.Copy(io.Discard, faultyMessage{c}); err != nil {
			return false, nil, err
		}
	}
	if err := c.nextDataFrame(); err != nil {
		return false, nil, err
	}
	c.size = 0
	return c.frame.Opcode == wsconn.OpText, faultyMessage{c}, nil
}

// peek waits for n bytes and injects the faults that are due in the meantime.
func (c *faultyConn) peek(n int) ([]byte, error) {
	for {
		if err := c.injectDue(); err != nil {
			return nil, err
		}
		c.conn.SetReadDeadline(c.nextDue())
		b, err := c.r.Peek(n)
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// injectDue sends the pongs and injects the faults that are due.
func (c *faultyConn) injectDue() error {
	now := time.Now()
	for len(c.latePongs) > 0 && !c.latePongs[0].due.After(now) {
		if err := c.send(wsconn.OpPong, c.latePongs[0].payload); err != nil {
			return err
		}
		c.latePongs = c.latePongs[1:]
	}
	for i := 0; i < len(c.pending); i++ {
		f := c.pending[i]
		if c.bytes < f.AfterBytes || c.messages < f.AfterMessages || now.Sub(c.started) < f.AfterTime {
			continue
		}
		c.pending = append(c.pending[:i:i], c.pending[i+1:]...)
		c.onFault(f)
		if err := f.Do.(connectionFault).inject(c); err != nil {
			return err
		}
		i, now = -1, time.Now() // a fault that takes time, like a stall, makes earlier ones due
	}
	return nil
}

// nextDue returns when something is due next, zero for never.
func (c *faultyConn) nextDue() (next time.Time) {
	for _, f := range c.pending {
		if at := c.started.Add(f.AfterTime); f.AfterTime > 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if len(c.latePongs) > 0 && (next.IsZero() || c.latePongs[0].due.Before(next)) {
		next = c.latePongs[0].due
	}
	return next
}

// faultyMessage reads the message that NextMessage has found.
type faultyMessage struct{ c *faultyConn }

func (m faultyMessage) Read(p []byte) (int, error) {
	c := m.c
	for c.left == 0 {
		if c.inMessage && c.frame.Final {
			c.inMessage = false
			c.messages++
		}
		if !c.inMessage {
			return 0, io.EOF
		}
		if err := c.nextDataFrame(); err != nil {
			return 0, err
		}
	}
	return c.readPayload(p)
}

// readPayload reads of the frame's payload, not beyond the byte at which a fault is due.
func (c *faultyConn) readPayload(p []byte) (int, error) {
	if _, err := c.peek(1); err != nil {
		return 0, err
	}
	most := min(int64(len(p)), c.left, int64(c.r.Buffered()))
	for _, f := range c.pending {
		if f.AfterBytes > c.bytes {
			most = min(most, f.AfterBytes-c.bytes)
		}
	}
	if c.maxMessage > 0 && c.size+most > c.maxMessage {
		most = c.maxMessage - c.size
		if most == 0 {
			_ = c.failConnection(wsconn.StatusMessageTooBig, fmt.Sprintf("message of more than %d bytes", c.maxMessage))
			return 0, fmt.Errorf("%w: more than %d bytes", wsconn.ErrTooBig, c.maxMessage)
		}
	}
	if c.rate > 0 {
		most = min(most, max(1, c.rate/int64(time.Second/slowTick)))
	}
	n, err := c.r.Read(p[:most])
	unmask(p[:n], c.frame.Key, c.frame.Length-c.left)
	c.left -= int64(n)
	c.size += int64(n)
	c.bytes += int64(n)
	if err == nil && c.rate > 0 {
		c.debit(n, time.Now())
		if c.pause(time.Until(c.paidUntil)) {
			c.rate = 0 // the server ends: read quickly what the peer sends before it answers
		}
	}
	return n, err
}

// debit accounts for n bytes that were read now at c.rate. A quiet time earns no credit beyond slowTick, which makes up
// for late timers.
func (c *faultyConn) debit(n int, now time.Time) {
	if earliest := now.Add(-slowTick); c.paidUntil.Before(earliest) {
		c.paidUntil = earliest
	}
	c.paidUntil = c.paidUntil.Add(time.Duration(n) * time.Second / time.Duration(c.rate))
}

// pause waits, and reports whether the connection was stopped meanwhile.
func (c *faultyConn) pause(d time.Duration) (stopped bool) {
	if d <= 0 {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-c.stop:
		return true
	}
}
