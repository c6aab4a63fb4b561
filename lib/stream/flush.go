package stream

import (
	"context"
	"slices"
)

// flusher is a call of Flush.
type flusher struct {
	lastSeq uint64 // of the entries that matter
	drained bool   // none of those wait any more
	pos     int64  // what had been taken by then
	done    chan struct{}
}

// Flush waits until everything that was put before the call is confirmed or dropped.
func (q *Queue) Flush(ctx context.Context) error {
	f := &flusher{done: make(chan struct{})}
	q.mu.Lock()
	f.lastSeq = q.fifo.lastSeq
	q.flushers = append(q.flushers, f)
	q.notifyFlushed()
	q.mu.Unlock()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		q.flushers = slices.DeleteFunc(q.flushers, func(other *flusher) bool { return other == f })
		return ctx.Err()
	}
}

// notifyFlushed ends the calls of Flush whose bytes are neither held nor unconfirmed any more.
func (q *Queue) notifyFlushed() {
	if len(q.flushers) == 0 {
		return
	}
	q.flushers = slices.DeleteFunc(q.flushers, func(f *flusher) bool {
		if !f.drained && q.policy.firstSeq() > f.lastSeq {
			f.drained, f.pos = true, q.fifo.takenPos
		}
		// With AtLeastOnce an entry is here until it is confirmed, and takenPos may have gone back since.
		if !f.drained || !q.o.AtLeastOnce && q.fifo.confirmedPos < f.pos {
			return false
		}
		close(f.done)
		return true
	})
}
