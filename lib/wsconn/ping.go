package wsconn

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
)

// Pong is the answer to a ping. It says that the peer has read everything that was written before.
type Pong struct {
	done chan struct{}
	err  error // set before done is closed
}

// Done is closed when the pong has come, or cannot come any more.
func (p *Pong) Done() <-chan struct{} { return p.done }

// Err returns, when Done is closed, nil if the pong came, else why the connection ended.
func (p *Pong) Err() error { return p.err }

// Ping sends a ping and returns at its pong. It needs Discard or NextMessage at work. While an earlier ping is
// outstanding, it waits for that one's pong first: a peer need not answer any but the latest (RFC 6455, 5.5.3). The end
// of ctx ends the call, not the connection; the ping stays outstanding.
func (c *Conn) Ping(ctx context.Context) error {
	select {
	case c.pingSem <- struct{}{}:
	case <-c.done:
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
	case c.pingSem <- struct{}{}:
		return c.startPing()
	default:
		return nil
	}
}

// startPing sends a ping. The caller holds pingSem, which the pong releases.
func (c *Conn) startPing() *Pong {
	c.mu.Lock()
	pong := &Pong{done: make(chan struct{}), err: c.err}
	c.pending = pong
	if c.err != nil {
		c.resolvePing()
	}
	c.pings++
	payload := binary.BigEndian.AppendUint64(nil, c.pings)
	c.mu.Unlock()
	c.out.ping(payload)
	return pong
}

// gotPong handles a pong. Only the one that matches the outstanding ping counts.
func (c *Conn) gotPong(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending != nil && len(payload) == 8 && binary.BigEndian.Uint64(payload) == c.pings {
		c.resolvePing()
	}
}

// resolvePing ends the wait for the outstanding ping. c.mu is held.
func (c *Conn) resolvePing() {
	close(c.pending.done)
	c.pending = nil
	<-c.pingSem
}

// maxDelayed is how many pings wait for their pongs at most.
const maxDelayed = 16

// pongs delays pongs until what came before their pings has been delivered.
type pongs struct {
	notify func() // nil: nothing is delayed

	mu        sync.Mutex
	read      int64 // bytes of messages that readers have returned
	delivered int64
	waiting   []delayedPong // in order
}

type delayedPong struct {
	pos     int64 // of the stream that read counts, where its ping stood
	payload []byte
}

// DelayPongs makes pongs mean more than that the peer's messages were read: from now on, a ping is answered when
// Delivered has covered all bytes that came before it. notify is called when a ping has to wait; it must not block.
// Call DelayPongs before the first NextMessage.
func (c *Conn) DelayPongs(notify func()) { c.pongs.notify = notify }

// PingsWait reports whether a ping waits for Delivered.
func (c *Conn) PingsWait() bool {
	c.pongs.mu.Lock()
	defer c.pongs.mu.Unlock()
	return len(c.pongs.waiting) > 0
}

// Delivered says that the first n bytes of all that the readers of NextMessage have returned, counted together, have
// been delivered.
func (c *Conn) Delivered(n int64) {
	if payload := c.pongs.due(n); payload != nil {
		c.out.answer(payload)
	}
}

// KeepAlive sends an empty unsolicited pong (RFC 6455, 5.5.3): a sign of life that answers no ping. It does not wait,
// and needs no reader at work.
func (c *Conn) KeepAlive() { c.out.keepAlive() }

func (c *Conn) answerPing(payload []byte) {
	if c.pongs.add(payload) {
		c.out.answer(payload)
		return
	}
	c.pongs.notify()
}

// given counts n bytes more that a reader returns.
func (p *pongs) given(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += int64(n)
}

// add reports whether a ping can be answered now. If not, it is answered later; when many wait, the newest replaces the
// one before it.
func (p *pongs) add(payload []byte) (now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.notify == nil || p.delivered >= p.read {
		p.waiting = p.waiting[:0] // this pong answers them too
		return true
	}
	if len(p.waiting) == maxDelayed {
		p.waiting = p.waiting[:maxDelayed-1]
	}
	p.waiting = append(p.waiting, delayedPong{p.read, append([]byte(nil), payload...)})
	return false
}

// due returns the payload of the latest ping that can be answered when n bytes have been delivered, or nil.
func (p *pongs) due(n int64) (payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delivered = n
	for len(p.waiting) > 0 && p.waiting[0].pos <= n {
		payload = p.waiting[0].payload
		p.waiting = p.waiting[1:]
	}
	return payload
}
