package stream

import (
	"slices"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// live never makes input wait. It drops whole groups of pictures that the consumer has not begun, oldest first. The
// group that the consumer has begun is delivered to its end as long as there is room for it, since a decoder would see
// half a group otherwise.
type live struct {
	fifo        *fifo
	account     *Account
	buffer      int64
	maxAge      time.Duration
	longest     int // of a merged chunk
	maxDelivery int
	onChange    ChangePolicy
	onWarn      func(message, hint string)
	warned      []string // messages
	hasKeyframe bool     // the stream has one that can be recognised

	// inGOP: the consumer is in the middle of a group of pictures. What waits before the next one belongs to it.
	inGOP bool
	// needKeyframe: the consumer begins or began anew, and the next delivery must be one that decoding can start with.
	needKeyframe bool
	// resyncing: the end of a group was dropped, so chunks are dropped until the next group begins.
	resyncing bool
	// resyncBytes is how much was dropped in search of a keyframe, coming in or going out.
	resyncBytes int64
	// leadingGap is what was dropped before the first entry, trailingGap what was dropped after the last one.
	leadingGap, trailingGap gap
	// rewritten is what is left of the chunk of number rewrittenSeq, which had to be rewritten after a gap. It comes
	// before the entries.
	rewritten    []Delivery
	rewrittenSeq uint64
	resumer      Resumer
}

func (l *live) accepts(k Kind) bool { return k != Unsynced && k != Partial }

func (l *live) hasRoom(int) bool { return true }

// put takes in a chunk, and makes room for it.
func (l *live) put(c Chunk) {
	n := int64(len(c.Data))
	l.dropExpired(c.ReceivedAt)
	l.change(&c)
	for l.fifo.size+n > l.buffer && l.makeRoom() {
	}
	if l.resyncing && !c.RandomAccess {
		if l.resync(c.amount()) {
			l.trailingGap.add(n, c.Change)
			return
		}
		c.RandomAccess = true
	}
	if l.resyncing {
		l.resyncing, l.resyncBytes = false, 0
	}
	l.fifo.push(&c, l.trailingGap, l.longest)
	l.trailingGap = gap{}
}

// change opens a gap where the stream begins anew. Other codecs and another publisher's stream begin with a keyframe.
func (l *live) change(c *Chunk) {
	l.hasKeyframe = l.hasKeyframe || c.RandomAccess && c.Kind == Packets
	if l.onChange == PassChange {
		return
	}
	anew := c.Splice || c.Change&mpegts.CodecChanged != 0
	if anew || c.Change&mpegts.ClockJump != 0 {
		l.trailingGap.open = true
		l.resyncing = l.resyncing || anew
	}
}

// mustEnd reports whether no decoder of what the consumer has got can go on with e.
func (l *live) mustEnd(e *entry) bool {
	if l.onChange != EndAtChange || !l.inGOP {
		return false
	}
	change := e.Change | e.gap.change | l.leadingGap.change
	missed := e.gap.open && change&mpegts.SetsChanged != 0 && e.Sets != nil
	return change&mpegts.CodecChanged != 0 || missed
}

// resync drops n before the next keyframe. It returns false when there has been none for so long that going on without
// one is better.
func (l *live) resync(n amount) bool {
	if l.resyncBytes += n.bytes; l.resyncBytes > l.buffer {
		if l.hasKeyframe {
			l.warn(longGOP, longGOPHint)
		} else {
			l.warn("no keyframe was recognised in as many bytes as the buffer holds, so the stream went on without one",
				"let the encoder make keyframes, and more often (ffmpeg -g 25), or give --buffer more")
		}
		return false
	}
	l.account.dropHeld(Resync, n)
	return true
}

// dropExpired drops the groups that began longer than maxAge before now.
func (l *live) dropExpired(now time.Time) {
	if l.maxAge <= 0 {
		return
	}
	for {
		w := l.fifo.waiting()
		old := func(i int) bool { return i < len(w) && now.Sub(w[i].ReceivedAt) > l.maxAge }
		if !old(0) {
			return
		}
		i := l.firstDroppableGOP()
		if !old(i) {
			return
		}
		l.dropGOP(i, Age)
	}
}

const (
	longGOP     = "groups of pictures are too long for the buffer, so one was cut in the middle"
	longGOPHint = "let the encoder make keyframes more often (ffmpeg -g 25), or give --buffer more"
)

// makeRoom drops the oldest group that the consumer has not begun, or if there is none, the rest of the one that it has
// begun. It returns false when nothing waits.
func (l *live) makeRoom() bool {
	n := len(l.fifo.waiting())
	if n == 0 {
		return false
	}
	if i := l.firstDroppableGOP(); i < n {
		l.dropGOP(i, Full)
		return true
	}
	l.warn(longGOP, longGOPHint)
	l.drop(0, n, Full)
	l.resyncing = true
	return true
}

// firstDroppableGOP returns the index in waiting of the first group that the consumer has not begun, or how many wait.
func (l *live) firstDroppableGOP() int {
	if !l.inGOP {
		return 0
	}
	return l.nextKeyframe(0)
}

// nextKeyframe returns the index in waiting of the first entry from i on that begins a group, or how many wait.
func (l *live) nextKeyframe(i int) int {
	w := l.fifo.waiting()
	for i < len(w) && !w[i].RandomAccess {
		i++
	}
	return i
}

// dropGOP drops the group that begins at i. If its end has not come in yet, that will be dropped too.
func (l *live) dropGOP(i int, reason Reason) {
	end := l.nextKeyframe(i + 1)
	l.resyncing = l.resyncing || end == len(l.fifo.waiting())
	l.drop(i, end, reason)
}

// drop drops waiting[i:end], and marks the gap.
func (l *live) drop(i, end int, reason Reason) {
	var g gap
	w := l.fifo.waiting()
	for k := range w[i:end] {
		g.join(w[i+k].gap)
		g.add(int64(len(w[i+k].Data)), w[i+k].Change)
	}
	after := &l.trailingGap
	if end < len(w) {
		after = &w[end].gap
	}
	g.join(*after)
	*after = g
	l.account.dropHeld(reason, l.fifo.remove(i, end))
}

func (l *live) take() (Delivery, error) {
	l.dropExpired(time.Now())
	l.prepare()
	w := l.fifo.waiting()
	switch {
	case len(l.rewritten) > 0:
		d := l.rewritten[0]
		l.rewritten = l.rewritten[1:]
		l.inGOP = true
		return d, nil
	case len(w) == 0:
		return Delivery{}, ErrEmpty
	case l.mustEnd(&w[0]):
		return Delivery{}, ErrChanged
	}
	e := l.fifo.pop()
	l.inGOP = true
	return e.delivery(), nil // with the entry's reference
}

func (l *live) confirmed(int64) {}

// requeue counts n unconfirmed bytes as lost, and makes the next delivery one that decoding can start with.
func (l *live) requeue(n int64) {
	l.account.dropUnconfirmed(Lost, l.fifo.settle(n))
	if !l.inGOP {
		return // nothing was taken since the beginning, or since the last requeue
	}
	l.leadingGap.add(n, 0)
	for i := range l.rewritten {
		size := l.rewritten[i].amount()
		l.account.dropHeld(Resync, size)
		l.leadingGap.add(size.bytes, 0)
	}
	l.rewritten = nil
	l.inGOP, l.needKeyframe = false, true
}

// expire drops what can never be delivered any more. A group that can be is left as it is: until the consumer takes its
// beginning, it may become too old, and must go as a whole then.
func (l *live) expire(now time.Time) {
	l.dropExpired(now)
	if l.needKeyframe && l.nextKeyframe(0) == len(l.fifo.waiting()) {
		l.prepare()
	}
}

func (l *live) firstSeq() uint64 {
	if len(l.rewritten) > 0 {
		return l.rewrittenSeq
	}
	return l.fifo.firstSeq()
}

func (l *live) clear() {
	l.rewritten = nil
	l.fifo.clear()
}

func (l *live) warn(message, hint string) {
	if l.onWarn != nil && !slices.Contains(l.warned, message) {
		l.warned = append(l.warned, message)
		l.onWarn(message, hint)
	}
}
