package stream

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// QueueOptions say what a queue does when its consumer is slower than its input.
type QueueOptions struct {
	// Live: input never waits; what is too old or too much is dropped, oldest first, in whole groups of pictures.
	// Otherwise nothing is dropped, and input waits.
	Live bool
	// JoinMidStream: the consumer joins a stream that flows already, so with Live its first parcel begins decoding, as after Restart.
	JoinMidStream bool
	// Buffer is how many bytes may wait. One chunk is taken in even if it is longer.
	Buffer int64
	// MaxAge is how old, with Live, what waits may become; 0 for any age.
	MaxAge time.Duration
	// AtLeastOnce keeps what was taken until it is confirmed, within Buffer, so that it can be taken again. Not with Live.
	AtLeastOnce bool
	// MaxDelivery is the longest parcel in bytes that a rewritten chunk may make; 0 for any.
	MaxDelivery int
	// Direct, if it is not nil, writes at once what can be written without waiting, and returns how many bytes that was. Put
	// calls it in place of a consumer that is idle: Copy, to the same output. Waking another goroutine for each frame of a
	// camera costs more than the frame. Not with Retain.
	Direct func(p []byte) int
	// Account is the ledger entry of the consumer.
	Account *Account
	// Warn is told, once, what the user should know of; nil if nobody is.
	Warn func(message, hint string)
}

// Queue stands between a reader and one consumer. It is the only place where data waits, and the only place where it
// may be dropped. Everything that goes in comes out once, in order, or is counted as dropped.
//
// Put, End and Abandon are the producer's, Take, Confirm and Restart the consumer's; all may be called at any time.
type Queue struct {
	o QueueOptions

	ready    chan struct{} // holds a token when the consumer should look again
	room     chan struct{} // the same for the producer
	roused   chan struct{} // the same for a consumer in Rest
	alarm    *time.Timer   // ends Rest; the consumer's
	patience *time.Timer   // ends giveWay; the producer's
	over     chan struct{} // closed by End

	mu sync.Mutex
	// entries[head:] wait, or with Retain have been taken: the first taken of them.
	entries []entry
	head    int
	taken   int
	// pushed is how many entries there have been: the number of the last one.
	pushed uint64
	// size is the sum of the entries' bytes.
	size int64
	// front comes before the entries: parcels of a chunk that had to be rewritten behind a gap.
	front       []Delivery
	frontNumber uint64 // of that chunk
	// takenPos and confirmedPos count the bytes of the stream that were taken, and confirmed or lost.
	takenPos, confirmedPos int64
	// idle: the consumer waits in Take, so nothing is in its hands. rest is what Direct has left of a parcel for it.
	idle bool
	rest Delivery
	// unyielding is until when the producer does not give way.
	unyielding time.Time
	// enough is how many waiting bytes end Rest; 0: the consumer is not in it.
	enough           int64
	ended, abandoned bool
	fate             Reason // of what comes in after Abandon
	waiters          []*waiter
	watched          <-chan struct{} // of the context whose end wakes the consumer

	// What follows is only used with Live.

	// begun: the consumer is in the middle of a group of pictures; what waits up to the next one belongs to it.
	begun bool
	// fresh: the consumer has just begun or restarted, and what it takes next must begin decoding.
	fresh bool
	// skipping: the end of a group was dropped, so what comes in is dropped until the next group begins.
	skipping bool
	skipped  int64
	// before is what was dropped in front of the first entry, gap what was dropped behind the last one.
	before, gap gap
	filter      filter
	warned      bool
}

// entry is a chunk that waits.
type entry struct {
	Chunk
	number uint64 // in the order of coming in, from 1
	gap    gap    // right before it
	resent bool
}

// gap is a place where something was dropped.
type gap struct {
	open  bool
	bytes int64
}

func (g *gap) add(n int64) {
	g.open = true
	g.bytes += n
}

func (g *gap) join(next gap) {
	g.open = g.open || next.open
	g.bytes += next.bytes
}

// Direct returns what QueueOptions.Direct asks for, if w can do that, or nil.
func Direct(w io.Writer) func(p []byte) int {
	if t, ok := w.(interface{ TryWrite(p []byte) int }); ok {
		return t.TryWrite
	}
	return nil
}

// NewQueue returns an empty queue.
func NewQueue(o QueueOptions) *Queue {
	token := func() chan struct{} { return make(chan struct{}, 1) }
	return &Queue{o: o, ready: token(), room: token(), roused: token(), over: make(chan struct{}), fresh: o.Live && o.JoinMidStream}
}

// Put takes a batch in: with Live at once, else as there is room for it; and then it holds a source that has ever more to
// give up for a moment, if the consumer is far behind. It returns an error only when ctx ends it; what did not get in is
// held until Abandon.
func (q *Queue) Put(ctx context.Context, b Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.abandoned {
		q.o.Account.readInVain(b.N, q.fate)
		return nil
	}
	q.o.Account.read(b.N)
	for i := range b.Chunks {
		c := b.Chunks[i] // a copy: other queues get the same batch
		if c.Discard || q.o.Live && c.Kind.unfit() {
			q.o.Account.dropHeld(c.Kind.dropReason(), int64(len(c.Data)))
			continue
		}
		if q.o.Live {
			q.putLive(&c)
			continue
		}
		if err := q.waitForRoom(ctx, int64(len(c.Data))); err != nil {
			return err
		}
		if q.abandoned {
			return nil // and with it the rest of the batch was counted
		}
		q.push(&c)
	}
	q.deliver()
	if q.size >= q.enough {
		q.rouse()
	}
	q.settle()
	if b.N >= minBlock && !q.o.Live {
		q.giveWay(ctx, b.N)
	}
	return nil
}

// deliver hands what waits to the output, if the consumer is idle and the output takes it at once, or else leaves it to
// the consumer.
func (q *Queue) deliver() {
	if q.o.Direct == nil || !q.idle || q.rest.Data != nil {
		wake(q.ready)
		return
	}
	for {
		p, ok := q.next()
		if !ok {
			return
		}
		n := q.o.Direct(p.Data)
		if p.counted = n > 0; p.counted {
			q.o.Account.AddWritten(&p)
		}
		if n < len(p.Data) {
			p.Data = p.Data[n:]
			q.rest = p
			wake(q.ready)
			return
		}
		p.Release()
		q.confirm(p.Pos)
	}
}

// waitForRoom waits, with the lock given up meanwhile, until n more bytes may wait, or nothing matters any more.
func (q *Queue) waitForRoom(ctx context.Context, n int64) error {
	full := func() bool { return q.size > 0 && q.size+n > q.o.Buffer && !q.abandoned }
	if full() {
		q.deliver()
		q.rouse()
	}
	for full() {
		q.mu.Unlock()
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

const (
	// ahead is how many bytes may wait before giveWay waits: a few reads, which a processor's cache still holds.
	ahead = 512 << 10
	// giveWayFor is how long it does so at most. A consumer needs less if it can go on at all.
	giveWayFor = 5 * time.Millisecond
	// giveWayAgain is how long it does not, after it was of no use; perhaps it was the consumer that was held up.
	giveWayAgain = 50 * time.Millisecond
)

// giveWay lets the consumer catch up when the source has ever more to give, for a moment, with the lock given up
// meanwhile. On one processor they would take turns of many megabytes otherwise, and each would find in memory what the
// other one had in the cache. n is how much has just come: a consumer that takes less than that meanwhile is slower than
// the source, for whatever reason, and not waited for.
func (q *Queue) giveWay(ctx context.Context, n int) {
	far := func() bool {
		resting := q.enough > q.size
		return q.waiting() > ahead && !resting && !q.abandoned && ctx.Err() == nil
	}
	if !far() || time.Now().Before(q.unyielding) {
		return
	}
	began := q.takenPos
	if q.patience == nil {
		q.patience = time.NewTimer(giveWayFor)
	} else {
		q.patience.Reset(giveWayFor)
	}
	defer q.patience.Stop()
	for far() {
		q.mu.Unlock()
		expired := false
		select {
		case <-q.room:
		case <-q.patience.C:
			expired = true
		case <-ctx.Done():
		}
		q.mu.Lock()
		if expired {
			if q.takenPos-began < int64(n) {
				q.unyielding = time.Now().Add(giveWayAgain)
			}
			return
		}
	}
}

// waiting is how many bytes wait to be taken.
func (q *Queue) waiting() int64 {
	if q.o.AtLeastOnce {
		return q.size - (q.takenPos - q.confirmedPos)
	}
	return q.size
}

// mergeLimit is how long a waiting chunk may grow by the bytes that follow it, so that a source that dribbles does not
// make a queue of very many very small chunks.
const mergeLimit = 16 << 10

// push appends a chunk. It joins a short one that waits when it follows it in memory and in the stream.
func (q *Queue) push(c *Chunk) {
	n := len(c.Data)
	q.size += int64(n)
	e := entry{Chunk: *c, gap: q.gap}
	if last := len(q.entries) - 1; last >= q.head+q.taken && !q.gap.open {
		prev := &q.entries[last]
		limit := mergeLimit
		if q.o.MaxDelivery > 0 {
			limit = min(limit, q.o.MaxDelivery)
		}
		if prev.Kind == c.Kind && !prev.resent && (!c.RandomAccess || c.Kind == Bytes) && c.Change == 0 && c.follows(&prev.Chunk) && len(prev.Data)+n <= limit {
			prev.extend(c)
			return
		}
	}
	q.gap = gap{}
	q.pushed++
	e.number = q.pushed
	e.Retain()
	q.entries = append(q.entries, e)
}

// End says that nothing more comes in. Take returns io.EOF after the last parcel.
func (q *Queue) End() {
	q.mu.Lock()
	if !q.ended {
		q.ended = true
		close(q.over)
	}
	q.rouse()
	q.mu.Unlock()
	wake(q.ready)
}

// Ended returns a channel that is closed when nothing more comes in.
func (q *Queue) Ended() <-chan struct{} { return q.over }

// Abort drops everything: what is held for the reason, what is unconfirmed as lost. What comes in later is dropped for
// the same reason, and Take returns io.EOF. A consumer that abandons for Stop has confirmed what is within its limit: the
// rest of what it took is dropped for that reason too.
func (q *Queue) Abort(reason Reason) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.abandoned, q.fate = true, reason
	q.front = nil
	q.rest.Release()
	q.rest = Delivery{}
	for i := q.head; i < len(q.entries); i++ {
		q.entries[i].Release()
	}
	q.entries, q.head, q.taken, q.size = nil, 0, 0, 0
	q.o.Account.abandon(reason)
	q.confirmedPos = q.takenPos
	q.settle()
	q.rouse()
	wake(q.ready)
	wake(q.room)
}

// Flush waits until everything that has been put is confirmed or dropped, whatever comes in behind it meanwhile.
func (q *Queue) Flush(ctx context.Context) error {
	w := &waiter{done: make(chan struct{})}
	q.mu.Lock()
	w.last = q.pushed
	q.waiters = append(q.waiters, w)
	q.settle()
	q.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters = slices.DeleteFunc(q.waiters, func(other *waiter) bool { return other == w })
		return ctx.Err()
	}
}

// waiter is a call of Wait.
type waiter struct {
	last uint64 // the number of the last entry that matters
	left bool   // none of those wait any more
	pos  int64  // takenPos when that came about
	done chan struct{}
}

// settle tells those who wait when nothing of theirs is held, and nothing unconfirmed.
func (q *Queue) settle() {
	if len(q.waiters) == 0 {
		return
	}
	q.waiters = slices.DeleteFunc(q.waiters, func(w *waiter) bool {
		if !w.left && q.oldest() > w.last {
			w.left, w.pos = true, q.takenPos
		}
		// With Retain an entry waits until it is confirmed.
		if !w.left || !q.o.AtLeastOnce && q.confirmedPos < w.pos {
			return false
		}
		close(w.done)
		return true
	})
}

// oldest returns the number of the first entry that is still here, in part or as a whole.
func (q *Queue) oldest() uint64 {
	switch {
	case len(q.front) > 0:
		return q.frontNumber
	case q.head < len(q.entries):
		return q.entries[q.head].number
	}
	return q.pushed + 1
}

func wake(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
