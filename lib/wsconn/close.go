package wsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Close sends what has been written and a close frame, throws away what the peer still sends, and returns when the peer
// has answered and nothing of the connection is left, or when ctx ends. It never waits longer for the end of a message.
// code must be one that may be sent (see ValidCloseCode); a reason longer than 123 bytes is cut.
//
// It returns nil when the peer answered with the same code or none, a *CloseError when it gave another, else why there
// was no answer, or why the connection had ended before. A second call does no harm.
func (c *Conn) Close(ctx context.Context, code int, reason string) error {
	if !ValidCloseCode(code) {
		c.CloseNow()
		return fmt.Errorf("close: code %d cannot be sent", code)
	}
	c.closing.Store(true)
	err := c.closeHandshake(ctx, closePayload(code, reason))
	if ctx.Err() != nil {
		err = fmt.Errorf("close: no answer from the peer: %w", context.Cause(ctx))
	}
	if err != nil {
		_ = c.fail(err) // Err has it
	}
	select {
	case <-c.closed:
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

// SendClose sends what has been written and a close frame, and does not wait. NextMessage still returns what comes
// until the peer's answer, which ends the connection. A code that may not be sent (see ValidCloseCode) ends it at once.
func (c *Conn) SendClose(code int, reason string) {
	if !ValidCloseCode(code) {
		c.CloseNow()
		return
	}
	c.closing.Store(true)
	c.out.sendClose(closePayload(code, reason))
}

// closeHandshake returns nil when the connection has ended.
func (c *Conn) closeHandshake(ctx context.Context, payload []byte) error {
	select {
	case c.writeSem <- struct{}{}:
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	c.out.sendClose(payload)
	err := c.out.flush(ctx)
	<-c.writeSem
	if err != nil {
		return c.writeFailed(ctx, err)
	}

	select {
	case <-c.done:
	case <-ctx.Done():
		return ctx.Err()
	case c.readSem <- struct{}{}:
		c.discard(ctx)
		<-c.readSem
	}
	return nil
}

// CloseNow ends the connection at once, without a close frame, and returns when nothing of it is left. When the
// connection had ended by itself, a close frame that answers the peer, or gives it the reason, may leave first, for two
// seconds at most.
func (c *Conn) CloseNow() {
	closed := fmt.Errorf("connection closed: %w", net.ErrClosed)
	if c.fail(closed) != closed {
		t := time.NewTimer(2 * grace)
		defer t.Stop()
		select {
		case <-c.closed:
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
	c.out.end()
	c.reads.end()
	c.running.Wait()
}
