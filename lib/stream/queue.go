package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
)

// QueueOptions say what a queue does when its consumer is slower than its input.
type QueueOptions struct {
	// Live: input never waits. What is too old or does not fit is dropped, oldest first, in whole groups of pictures.
	// Otherwise nothing is dropped, and input waits.
	Live bool
	// StartAtKeyframe: with Live, decoding can start with the first delivery too, as after Requeue. What comes before
	// it is dropped.
	StartAtKeyframe bool
	// OnChange says what to do with Live where the stream begins anew.
	OnChange ChangePolicy
	// Buffer is how many bytes may wait. One chunk is taken in even if it is longer.
	Buffer int64
	// MaxAge is how old waiting chunks may become with Live; 0: any age.
	MaxAge time.Duration
	// AtLeastOnce keeps what was taken until it is confirmed, within Buffer, so that it can be taken again. Not with
	// Live.
	AtLeastOnce bool
	// MaxDelivery is the longest delivery in bytes that the queue may make of several or rewritten chunks; 0: any.
	MaxDelivery int
	// Account is the ledger entry of the consumer.
	Account *Account
	// Warn is called at most once for each message; nil: never.
	Warn func(message, hint string)
}

// ChangePolicy says what a live queue does where the stream begins anew: its clock jumps, or its codecs change.
type ChangePolicy uint8

const (
	// PassChange leaves it to the consumer, which sees it in Delivery.Change.
	PassChange ChangePolicy = iota
	// AnnounceChange announces it to the decoder as it does a gap.
	AnnounceChange
	// EndAtChange is AnnounceChange, but where a decoder cannot go on in the same connection Take returns ErrChanged.
	// It cannot where the codecs change, nor where the parameter sets changed in a gap and are not sent again.
	EndAtChange
)

// ErrChanged says that what comes next needs a new connection. After Requeue, Take returns it.
var ErrChanged = errors.New("the stream has changed, and needs a new connection")

// Queue stands between a reader and one consumer. It is the only place where data waits, and the only place where it
// may be dropped. Every byte that goes in comes out once, in order, or is counted as dropped.
//
// The producer calls Put, End and Abort, the consumer Take, Confirm and Requeue; all may be called at any time.
type Queue struct {
	o        QueueOptions
	ready    wake.Signal     // the consumer should look again
	room     wake.Signal     // the producer should
	done     chan struct{}   // closed by End
	watching <-chan struct{} // of the context whose end wakes Take; the consumer's

	mu          sync.Mutex
	fifo        fifo
	policy      policy
	ended       bool
	aborted     bool
	abortReason Reason // for what comes in after Abort
	flushers    []*flusher
}

// ErrEmpty says that nothing waits to be taken.
var ErrEmpty = errors.New("nothing waits")

// policy decides what is taken in, dropped, delivered and kept.
type policy interface {
	accepts(Kind) bool
	hasRoom(n int) bool
	put(Chunk)
	// take removes the next delivery. It does not wait: it returns ErrEmpty. It may return ErrChanged.
	take() (Delivery, error)
	// confirmed says that the first n unconfirmed bytes are confirmed.
	confirmed(n int64)
	// requeue says that the n unconfirmed bytes will never be confirmed.
	requeue(n int64)
	// expire drops what can never be delivered.
	expire(now time.Time)
	// firstSeq is the number of the first entry of which something is still here, or of the next one to come in.
	firstSeq() uint64
	clear()
}

// NewQueue returns an empty queue.
func NewQueue(o QueueOptions) *Queue {
	q := &Queue{o: o, ready: wake.New(), room: wake.New(), done: make(chan struct{})}
	longest := mergeLimit
	if o.MaxDelivery > 0 {
		longest = min(longest, o.MaxDelivery)
	}
	if o.Live {
		q.policy = &live{
			fifo: &q.fifo, account: o.Account, buffer: o.Buffer, maxAge: o.MaxAge, longest: longest,
			maxDelivery: o.MaxDelivery, onWarn: o.Warn, onChange: o.OnChange, needKeyframe: o.StartAtKeyframe,
		}
	} else {
		q.policy = &lossless{
			fifo: &q.fifo, account: o.Account, buffer: o.Buffer, longest: longest, atLeastOnce: o.AtLeastOnce,
		}
	}
	return q
}

// Put takes in a batch. With Live it never waits, otherwise it waits until there is room. It returns an error only when
// ctx ends it; what was not taken in is held until Abort.
func (q *Queue) Put(ctx context.Context, b Batch) error {
	err := q.put(ctx, b)
	q.ready.Set()
	return err
}

// put is Put, but wakes the consumer only when it has to wait for it.
func (q *Queue) put(ctx context.Context, b Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.notifyFlushed()
	if q.aborted {
		q.o.Account.readDropped(b.amount(), q.abortReason)
		return nil
	}
	q.o.Account.read(b.amount())
	for i := range b.Chunks {
		c := b.Chunks[i] // a copy: other queues get the same batch
		if c.Discard || !q.policy.accepts(c.Kind) {
			q.o.Account.dropHeld(c.Kind.dropReason(), c.amount())
			continue
		}
		if err := q.waitForRoom(ctx, len(c.Data)); err != nil {
			return err
		}
		if q.aborted {
			return nil // Abort has counted the rest of the batch, which is held
		}
		q.policy.put(c)
	}
	return nil
}

// waitForRoom waits until n more bytes may wait, or Abort. It gives up the lock meanwhile.
func (q *Queue) waitForRoom(ctx context.Context, n int) error {
	for !q.aborted && !q.policy.hasRoom(n) {
		q.mu.Unlock()
		q.ready.Set()
		var err error
		select {
		case <-q.room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		q.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// End says that nothing more comes in. Take returns io.EOF after the last delivery.
func (q *Queue) End() {
	q.mu.Lock()
	if !q.ended {
		q.ended = true
		close(q.done)
	}
	q.mu.Unlock()
	q.ready.Set()
}

// Ended returns a channel that is closed by End.
func (q *Queue) Ended() <-chan struct{} { return q.done }

// Abort drops everything: what is held for the reason, what is unconfirmed as lost. What comes in later is dropped for
// the same reason, and Take returns io.EOF. When the reason is Stop, the consumer has confirmed what is within its
// limit, and the rest of what it took counts as dropped for Stop too.
func (q *Queue) Abort(reason Reason) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.aborted, q.abortReason = true, reason
	q.policy.clear()
	q.o.Account.abort(reason)
	q.fifo.settle(q.fifo.takenPos - q.fifo.confirmedPos)
	q.notifyFlushed()
	q.ready.Set()
	q.room.Set()
}

// Missed counts n bytes of the stream that never came as read and lost.
func (q *Queue) Missed(n int64) { q.o.Account.readDropped(amount{bytes: n}, Lost) }

// Take waits for the next delivery. It returns io.EOF when there will be none, or the error of ctx. With AtLeastOnce
// there may be more after io.EOF, if Requeue is called before everything is confirmed. With EndAtChange it may return
// ErrChanged.
func (q *Queue) Take(ctx context.Context) (Delivery, error) {
	for {
		d, err := q.takeNow()
		if err != ErrEmpty {
			return d, err
		}
		if err := q.wait(ctx); err != nil {
			return d, err
		}
	}
}

// takeNow is Take, but does not wait: it returns ErrEmpty.
func (q *Queue) takeNow() (Delivery, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d, err := q.policy.take()
	switch {
	case err == nil:
		q.o.Account.take(q.fifo.took(&d))
		d.Pos = q.fifo.takenPos
		q.room.Set()
	case err == ErrEmpty && (q.aborted || q.ended):
		err = io.EOF
	}
	q.notifyFlushed() // also after a take that dropped all there was
	return d, err
}

// wait waits until the consumer should look again, or until ctx ends. The context is watched across calls, so that a
// call waits for one channel only.
func (q *Queue) wait(ctx context.Context) error {
	if done := ctx.Done(); done != q.watching {
		q.watching = done
		context.AfterFunc(ctx, q.ready.Set)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	<-q.ready
	return nil
}

// Confirm says that everything up to the Pos of a delivery has arrived.
func (q *Queue) Confirm(pos int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(pos, q.fifo.takenPos) - q.fifo.confirmedPos
	if n <= 0 {
		return
	}
	q.o.Account.confirm(q.fifo.settle(n))
	q.policy.confirmed(n)
	q.room.Set()
	q.notifyFlushed()
}

// Requeue says that what was taken and not confirmed will never be: the connection or the file is gone, and the
// consumer begins anew. With AtLeastOnce it is taken again, before anything else. Otherwise it is lost, and with Live
// decoding can start with the next delivery: it begins with PAT, PMT and a keyframe with its parameter sets, and what
// the stream does not have there is injected.
func (q *Queue) Requeue() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.policy.requeue(q.fifo.takenPos - q.fifo.confirmedPos)
	q.notifyFlushed()
	q.ready.Set()
}

// Finished reports whether the input has ended and nothing is left of it: all is confirmed or dropped.
func (q *Queue) Finished() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.aborted || !q.ended {
		return q.aborted
	}
	q.policy.expire(time.Now())
	return q.policy.firstSeq() > q.fifo.lastSeq && q.fifo.takenPos == q.fifo.confirmedPos
}

// Age is how long the oldest of what waits to be taken has waited; 0 when nothing waits.
func (q *Queue) Age() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.fifo.waiting(); len(w) > 0 {
		return time.Since(w[0].ReceivedAt)
	}
	return 0
}

// Waiting is how many bytes wait to be taken.
func (q *Queue) Waiting() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fifo.waitingSize()
}

// Position is the Pos of what was taken last.
func (q *Queue) Position() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fifo.takenPos
}
