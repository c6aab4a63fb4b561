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
	// paceBackoff is how long it does not wait again after it waited for nothing. The consumer may have been held up.
	paceBackoff = 50 * time.Millisecond
)

// Pacer makes the feed loop of a source that has ever more to give wait for a queue's consumer, for a moment, when that
// is far behind. Otherwise the two take turns of many megabytes on one processor, and each finds in memory what the
// other had in the cache. A live queue is not waited for. A Pacer is for the queue's producer.
type Pacer struct {
	queue       *Queue
	timer       *time.Timer
	noPaceUntil time.Time
}

// NewPacer returns a pacer for the producer of q.
func NewPacer(q *Queue) *Pacer { return &Pacer{queue: q} }

// Pace is called after each Put with the number of bytes that were read. A consumer that takes less than these while
// the producer waits is slower than the source, and is not waited for again soon.
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
