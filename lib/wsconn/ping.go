package wsconn

//lint:file-ignore SA1019 This import path is the project's choice; the code goes on as github.com/coder/websocket.

import (
	"context"
	"fmt"
	"time"
)

// Pong is the answer to a ping: that the peer has read everything that was written before.
type Pong struct {
	done chan struct{}
	err  error // set before done is closed
}

// Done is closed when the pong has come, or cannot come any more.
func (p *Pong) Done() <-chan struct{} { return p.done }

// Err returns, when Done is closed, nil if the pong came, else why the connection ended.
func (p *Pong) Err() error { return p.err }

// Ping sends a ping and returns at its pong. It needs Discard or NextMessage at work. While an earlier ping is
// outstanding, it waits for that one's pong before it sends its own: a peer need not answer any but the latest (RFC
// 6455, 5.5.3). The end of ctx ends the call, not the connection; the ping stays outstanding.
func (c *Conn) Ping(ctx context.Context) error {
	select {
	case c.pingTurn <- struct{}{}:
	case <-c.dead:
		return c.Err()
	case <-ctx.Done():
		return fmt.Errorf("ping: %w", context.Cause(ctx))
	}
	pong := c.startPing()
	select {
	case <-pong.done:
		return pong.err
	case <-ctx.Done():
		return fmt.Errorf("ping: %w", context.Cause(ctx))
	}
}

// TryPing sends a ping and returns without waiting for its pong. It returns nil when an earlier one is outstanding.
func (c *Conn) TryPing() *Pong {
	select {
	case c.pingTurn <- struct{}{}:
		return c.startPing()
	default:
		return nil
	}
}

// startPing returns when the ping is in the socket's memory. The caller has taken the turn to ping; the pong gives it
// back. nhooyr ends the connection when a ping's context ends, so its ping gets one that does not.
func (c *Conn) startPing() *Pong {
	pong := &Pong{done: make(chan struct{})}
	select {
	case <-c.sock.pinged: // of an earlier ping that failed
	default:
	}
	started := c.start(func() {
		defer close(pong.done)
		if err := c.ws.Ping(context.Background()); err != nil {
			pong.err = c.pingFailed(err)
		}
		<-c.pingTurn
	})
	if !started {
		pong.err = c.Err()
		<-c.pingTurn
		close(pong.done)
	}
	select {
	case <-c.sock.pinged:
	case <-pong.done:
	}
	return pong
}

// pingFailed waits for the reader's reason, which is the cause: nhooyr's pings end when its reader closes it.
func (c *Conn) pingFailed(err error) error {
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-c.dead:
	case <-t.C:
	}
	return c.fail(fmt.Errorf("ping: %w", err))
}
