package ingest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// keepAlive is the pause between signs of life to a websocket publisher whose ping cannot be answered yet.
const keepAlive = 5 * time.Second

// confirmer answers the pings of a websocket publisher when what came before them has been delivered to the output, or
// is held as the beginning of a packet.
type confirmer struct {
	conn  *wsconn.Conn
	queue *stream.Queue
	pause time.Duration // keepAlive
	n     int64         // bytes of the publisher that are in the queue, or were; only who puts them uses it
	taken atomic.Int64  // these, and the part of a packet that is held after them
	wake  wake.Signal   // there is something to do
}

// confirmDelivery starts the confirmer of p, whose connection has not been read from. The result stops it.
func (s *Server) confirmDelivery(p *publisher, conn *wsconn.Conn) (stop func()) {
	c := &confirmer{conn: conn, queue: s.queue, pause: s.keepAlive, wake: wake.New()}
	p.confirmer = c
	conn.DelayPongs(c.wake.Set)
	ctx, cancel := context.WithCancel(s.abortCtx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// put says that the first n bytes of the publisher have been put into the queue, and that the next part bytes are held.
func (c *confirmer) put(n int64, part int) {
	if c == nil {
		return
	}
	c.n = n
	c.taken.Store(n + int64(part))
	if c.conn.PingsWait() {
		c.wake.Set()
	}
}

// hold says that part bytes are held after the first passed bytes, which may not all be in the queue yet.
func (c *confirmer) hold(passed int64, part int) {
	if c != nil && passed == c.n {
		c.put(passed, part)
	}
}

// run answers pings until ctx ends.
func (c *confirmer) run(ctx context.Context) {
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		n := c.taken.Load()
		for !c.flushed(ctx) {
			if ctx.Err() != nil {
				return
			}
			c.conn.KeepAlive()
		}
		if ctx.Err() != nil {
			return // the queue may have dropped what is in it
		}
		c.conn.Delivered(n)
	}
}

// flushed waits until what is in the queue has been delivered, for as long as the pause at most.
func (c *confirmer) flushed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.pause)
	defer cancel()
	return c.queue.Flush(ctx) == nil
}
