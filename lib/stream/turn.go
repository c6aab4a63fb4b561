package stream

import (
	"context"
	"sync"
)

// Turn is the right to take from a queue and to deliver what was taken. The queue's only consumer holds it, but gives
// it up while it waits. Then its only producer may deliver at once what it puts in: waking another goroutine for each
// frame of a camera costs more than the frame.
type Turn struct {
	sync.Mutex
	queue *Queue
}

// NewTurn returns the turn of a queue. Nobody holds it.
func NewTurn(q *Queue) *Turn { return &Turn{queue: q} }

// Put is the queue's Put. If nobody holds the turn, it calls deliver with it, which takes with TakeNow and must not
// wait. deliver returns false when it leaves something to the consumer.
func (t *Turn) Put(ctx context.Context, b Batch, deliver func() bool) error {
	err := t.queue.put(ctx, b)
	if !t.try(deliver) {
		t.queue.ready.Set()
	}
	return err
}

func (t *Turn) try(deliver func() bool) bool {
	if !t.TryLock() {
		return false
	}
	defer t.Unlock()
	return deliver()
}

// TakeNow is the queue's Take, but does not wait: it returns ErrEmpty.
func (t *Turn) TakeNow() (Delivery, error) { return t.queue.takeNow() }

// Take is the queue's Take for the consumer, which holds the turn.
func (t *Turn) Take(ctx context.Context) (Delivery, error) {
	for {
		d, err := t.queue.takeNow()
		if err != ErrEmpty {
			return d, err
		}
		if err := t.wait(ctx); err != nil {
			return d, err
		}
	}
}

// wait gives the turn up until the consumer should look again, or until ctx ends.
func (t *Turn) wait(ctx context.Context) error {
	t.Unlock()
	defer t.Lock()
	return t.queue.wait(ctx)
}
