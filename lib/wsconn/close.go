package wsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Close sends what has been written and a close frame, reads and throws away what the peer still sends, and returns
// when the peer has answered and nothing of the connection is left, or when ctx ends. code is one of RFC 6455, 7.4,
// that may be sent; a reason longer than 123 bytes is cut.
//
// It returns nil when the peer answered with the same code or none; a *CloseError when it gave another; else why there
// was no answer, or why the connection had ended before. A second call does no harm.
func (c *Conn) Close(ctx context.Context, code int, reason string) error {
	if !ValidCloseCode(code) {
		c.CloseNow()
		return fmt.Errorf("close: code %d cannot be sent", code)
	}
	c.closing.Store(true)
	// nhooyr's own Close gives each of its steps a fixed 5 s, which is too little for a link that has megabytes to carry
	// before the close frame, and needs the lock that a reader holds.
	err := c.closeHandshake(ctx, closeFrame(code, reason, c.client))
	if ctx.Err() != nil {
		err = fmt.Errorf("close: no answer from the peer: %w", context.Cause(ctx))
	}
	if err != nil {
		c.fail(err)
	}
	select {
	case <-c.tornDown:
	case <-ctx.Done():
	}
	c.end()

	var answer *CloseError
	err = c.Err()
	if errors.As(err, &answer) && (answer.Code == code || answer.Code == StatusNoStatusRcvd) {
		return nil
	}
	return err
}

// SendClose sends what has been written and a close frame, and does not wait: what comes until the peer answers, which
// ends the connection, is for NextMessage still. A code that may not be sent (RFC 6455, 7.4) ends it at once.
func (c *Conn) SendClose(code int, reason string) {
	if !ValidCloseCode(code) {
		c.CloseNow()
		return
	}
	c.closing.Store(true)
	c.sock.sendClose(closeFrame(code, reason, c.client))
}

// closeHandshake returns nil when the connection has ended.
func (c *Conn) closeHandshake(ctx context.Context, frame []byte) error {
	select {
	case c.writeTurn <- struct{}{}:
	case <-c.dead:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	c.sock.sendClose(frame)
	err := c.sock.flush(ctx)
	<-c.writeTurn
	if err != nil {
		return c.writeFailed(ctx, err)
	}

	select {
	case <-c.dead:
	case <-ctx.Done():
		return ctx.Err()
	case c.readTurn <- struct{}{}:
		c.discard(ctx)
		<-c.readTurn
	}
	return nil
}

// CloseNow ends the connection at once, without a close frame, and returns when nothing of it is left. When the
// connection has ended by itself before, it lets the close frame that answers the peer or tells it the reason leave
// first, for two seconds at most.
func (c *Conn) CloseNow() {
	closed := fmt.Errorf("connection closed: %w", net.ErrClosed)
	if c.fail(closed) != closed {
		t := time.NewTimer(2 * grace)
		defer t.Stop()
		select {
		case <-c.tornDown:
		case <-t.C:
		}
	}
	c.end()
}

// end cuts short whatever is under way and waits for it. fail has been called.
func (c *Conn) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.sock.end()
	c.running.Wait()
}
