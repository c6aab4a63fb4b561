package stream

import (
	"context"
	"io"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Delivery is what a consumer takes from a queue and hands on as a whole.
type Delivery struct {
	Data []byte
	// Size is how many bytes of Data are the stream's. The others were injected: tables, the announcement of a gap.
	Size int
	// Pos is the place in the stream behind the parcel, for Confirm.
	Pos        int64
	ReceivedAt time.Time // when it was read
	Kind       Kind
	// RandomAccess, HasPSI, PSI, Counters, Change and Sets are those of the chunk.
	RandomAccess, HasPSI bool
	PSI                  *mpegts.Tables
	Counters             mpegts.Counters
	Change               mpegts.Change
	Sets                 *mpegts.ParameterSets
	// Gap says that something was dropped right before the parcel, and Dropped how many bytes.
	Gap     bool
	Dropped int64
	// Redelivered says that the parcel was taken before.
	Redelivered bool

	block *block // that Data is in; nil when it is the parcel's own
	// counted says that Data is what Direct has left of a parcel that has been counted as written.
	counted bool
}

// Injected is how many bytes of Data are not the stream's.
func (p *Delivery) Injected() int { return len(p.Data) - p.Size }

// Release gives the parcel's bytes back. It must be called when they are not needed any more.
func (p *Delivery) Release() {
	if p.block != nil {
		p.block.release()
		p.block = nil
	}
}

// Take waits for the next parcel. It returns io.EOF when there will be none, or the error of ctx. With Retain there may
// be more after io.EOF, if Restart is called before everything is confirmed.
func (q *Queue) Take(ctx context.Context) (Delivery, error) {
	for {
		q.mu.Lock()
		p, ok := q.takeRest()
		if !ok {
			p, ok = q.next()
		}
		over := !ok && (q.abandoned || q.ended)
		q.settle()
		q.idle = !ok && !over
		if q.idle {
			q.watch(ctx)
		}
		q.mu.Unlock()
		if ok {
			wake(q.room)
			return p, nil
		}
		if over {
			return Delivery{}, io.EOF
		}
		if err := ctx.Err(); err != nil {
			q.leave()
			return Delivery{}, err
		}
		<-q.ready
	}
}

// leave says that nobody waits in Take.
func (q *Queue) leave() {
	q.mu.Lock()
	q.idle = false
	q.mu.Unlock()
}

// WaitBatch is for a consumer that takes more at once rather than little at a time: when nothing waits, it returns once enough
// bytes do, or limit has passed, or something else than more bytes is to be seen to. Put wakes nobody meanwhile. It returns
// how long it rested; 0 when something waits.
func (q *Queue) WaitBatch(ctx context.Context, enough int64, limit time.Duration) time.Duration {
	q.mu.Lock()
	if q.ended || q.abandoned || q.size > 0 || len(q.front) > 0 || q.rest.Data != nil {
		q.mu.Unlock()
		return 0
	}
	began := time.Now()
	q.enough = max(enough, 1)
	select {
	case <-q.roused: // of an earlier Rest
	default:
	}
	q.mu.Unlock()

	if q.alarm == nil {
		q.alarm = time.NewTimer(limit)
	} else {
		q.alarm.Reset(limit)
	}
	select {
	case <-q.roused:
	case <-q.alarm.C:
	case <-ctx.Done():
	}
	q.alarm.Stop()
	q.mu.Lock()
	q.enough = 0
	q.mu.Unlock()
	return time.Since(began)
}

// rouse ends Rest.
func (q *Queue) rouse() {
	if q.enough > 0 {
		wake(q.roused)
	}
}

// watch makes the end of ctx wake the consumer. It is watched across calls, so that a call waits for one thing only.
func (q *Queue) watch(ctx context.Context) {
	if done := ctx.Done(); done != q.watched {
		q.watched = done
		context.AfterFunc(ctx, func() { wake(q.ready) })
	}
}

func (q *Queue) takeRest() (Delivery, bool) {
	p := q.rest
	q.rest = Delivery{}
	return p, p.Data != nil
}

// next takes the next parcel, if there is one.
func (q *Queue) next() (Delivery, bool) {
	if q.o.Live {
		q.expire(time.Now())
		q.prepare()
	}
	var p Delivery
	if len(q.front) > 0 {
		p = q.front[0]
		q.front = q.front[1:]
	} else {
		i := q.head + q.taken
		if i == len(q.entries) {
			return Delivery{}, false
		}
		p = q.entries[i].parcel()
		if q.o.AtLeastOnce {
			q.entries[i].Retain()
			q.taken++
		} else {
			q.pop() // the entry's reference is the parcel's now
		}
	}
	q.begun = true
	q.o.Account.take(p.Size)
	q.takenPos += int64(p.Size)
	p.Pos = q.takenPos
	return p, true
}

// Finished reports whether the input has ended and nothing is left of it: all is confirmed or dropped.
func (q *Queue) Finished() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.abandoned || !q.ended {
		return q.abandoned
	}
	if q.o.Live {
		q.expire(time.Now())
		// Only a consumer that takes may prepare a group that can be taken: until one does, it may still become too old,
		// and then it must go as a whole.
		if q.fresh && q.beginning(q.head) == len(q.entries) {
			q.prepare()
		}
	}
	return q.size == 0 && len(q.front) == 0 && q.takenPos == q.confirmedPos
}

// Age is how long the oldest of what waits to be taken has waited; 0 when nothing waits.
func (q *Queue) Age() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.head + q.taken
	if i == len(q.entries) {
		return 0
	}
	return time.Since(q.entries[i].ReceivedAt)
}

func (e *entry) parcel() Delivery {
	return Delivery{
		Data: e.Data, Size: len(e.Data), ReceivedAt: e.ReceivedAt, Kind: e.Kind,
		RandomAccess: e.RandomAccess, HasPSI: e.HasPSI, PSI: e.PSI, Counters: e.Counters,
		Change: e.Change, Sets: e.Sets,
		Gap: e.gap.open, Dropped: e.gap.bytes, Redelivered: e.resent,
		block: e.block,
	}
}

// pop takes the first entry out, and leaves its reference to the caller.
func (q *Queue) pop() {
	q.size -= int64(len(q.entries[q.head].Data))
	q.entries[q.head] = entry{}
	q.head++
	switch {
	case q.head == len(q.entries):
		q.entries, q.head = q.entries[:0], 0
	case q.head > 64 && q.head > len(q.entries)/2:
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
}

// Position is the Pos of what was taken last.
func (q *Queue) Position() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takenPos
}

// Confirm says that everything up to a taken parcel's Pos has arrived.
func (q *Queue) Confirm(pos int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.confirm(pos)
}

func (q *Queue) confirm(pos int64) {
	n := min(pos, q.takenPos) - q.confirmedPos
	if n <= 0 {
		return
	}
	q.confirmedPos += n
	q.o.Account.confirm(n)
	for q.o.AtLeastOnce && n > 0 {
		e := &q.entries[q.head].Chunk
		n -= int64(len(e.Data))
		e.Release()
		q.pop()
		q.taken--
	}
	wake(q.room)
	q.settle()
}

// Requeue says that what was taken and not confirmed will never be: the connection or the file is gone, and the consumer
// begins anew. With Retain it is taken again, first of all. Otherwise it is lost, and with Live the next parcel begins
// decoding: PAT and PMT, which are injected where the stream does not have them there, and a keyframe.
func (q *Queue) Requeue() {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.takenPos - q.confirmedPos
	if q.o.AtLeastOnce {
		q.takenPos = q.confirmedPos
		q.o.Account.untake(n)
		for i := range q.taken {
			q.entries[q.head+i].resent = true
		}
		q.taken = 0
		wake(q.ready)
		return
	}
	q.confirmedPos = q.takenPos
	q.o.Account.dropUnconfirmed(Lost, n)
	if q.o.Live {
		q.restartLive(n)
	}
	q.settle()
}

// Copy is the plain consumer: it writes everything to w until the queue ends, and confirms what was written.
func Copy(ctx context.Context, q *Queue, w io.Writer) error {
	for {
		p, err := q.Take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = w.Write(p.Data)
		if !p.counted {
			q.o.Account.AddWritten(&p)
		}
		p.Release()
		if err != nil {
			return err
		}
		q.Confirm(p.Pos)
	}
}
