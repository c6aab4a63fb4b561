package stream

import (
	"context"
	"time"
)

const (
	// highWater is how many bytes may wait before a Pacer waits: a few reads, which a processor's cache still holds.
	highWater = 512 << 10
	// paceMax is how long it waits at most. A consumer that can go on at all needs less.
	paceMax = 5 * time.Millisecond
	// paceBackoff is how long it does not wait again after it has waited in vain. The consumer may have been held up.
	paceBackoff = 50 * time.Millisecond
)

// Pacer slows down a queue's producer whose source always has more: it waits for a moment when the consumer is far
// behind. Without it, producer and consumer take turns of many megabytes on one processor, and what one has left in the
// cache is no longer there for the other. A live queue never makes its producer wait.
type Pacer struct {
	queue       *Queue
	timer       *time.Timer
	noPaceUntil time.Time
}

// NewPacer returns a pacer for the producer of q.
func NewPacer(q *Queue) *Pacer { return &Pacer{queue: q} }

// Pace is called after each Put with the number of bytes that were read. A consumer that takes fewer while the producer
// waits is slower than the source: Pace does not wait for it again within paceBackoff.
func (p *Pacer) Pace(ctx context.Context, n int) {
	q := p.queue
	if q.o.Live || n < minBlock || q.Waiting() <= highWater || time.Now().Before(p.noPaceUntil) {
		return
	}
	from := q.Position()
	if p.timer == nil {
		p.timer = time.NewTimer(paceMax)
	} else {
		p.timer.Reset(paceMax)
	}
	defer p.timer.Stop()
	for q.Waiting() > highWater {
		select {
		case <-q.room:
		case <-p.timer.C:
			if q.Position()-from < int64(n) {
				p.noPaceUntil = time.Now().Add(paceBackoff)
			}
			return
		case <-ctx.Done():
			return
		}
	}
}
