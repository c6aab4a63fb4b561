package stream

import (
	"slices"
	"time"
)

// What a live queue drops, and when. It drops whole groups of pictures that the consumer has not begun, oldest first:
// what the consumer has begun it gets to the end, as long as there is room for it, or a decoder would see half a group.

// putLive takes a chunk in, and makes room for it.
func (q *Queue) putLive(c *Chunk) {
	n := int64(len(c.Data))
	q.expire(c.ReceivedAt)
	for q.size+n > q.o.Buffer && q.makeRoom() {
	}
	if q.skipping && !c.RandomAccess {
		if q.skip(n) {
			q.gap.add(n)
			return
		}
		c.RandomAccess = true
	}
	if q.skipping {
		q.skipping, q.skipped = false, 0
	}
	q.push(c)
}

// skip drops n bytes before the next place where decoding can start. It answers false when there has been no such place
// for so long that going on anywhere is better.
func (q *Queue) skip(n int64) bool {
	if q.skipped += n; q.skipped > q.o.Buffer {
		q.warn("the stream has no keyframe that can be recognised, so after a loss it went on without one",
			"let the encoder make keyframes, and set random_access_indicator in the MPEG-TS")
		return false
	}
	q.o.Account.dropHeld(Resync, n)
	return true
}

// expire drops the groups that began longer than MaxAge before now.
func (q *Queue) expire(now time.Time) {
	old := func(i int) bool { return now.Sub(q.entries[i].ReceivedAt) > q.o.MaxAge }
	for q.o.MaxAge > 0 && q.head < len(q.entries) && old(q.head) {
		i := q.droppable()
		if i == len(q.entries) || !old(i) {
			return
		}
		q.dropGroup(i, Age)
	}
}

// makeRoom drops the oldest group; if there is none but the one that the consumer has begun, the rest of that. It
// answers false when nothing waits.
func (q *Queue) makeRoom() bool {
	if q.head == len(q.entries) {
		return false
	}
	if i := q.droppable(); i < len(q.entries) {
		q.dropGroup(i, Full)
		return true
	}
	q.warn("a group of pictures is longer than the buffer, so it was cut in the middle",
		"let the encoder make keyframes more often (ffmpeg -g 25), or give --buffer more")
	q.drop(q.head, len(q.entries), Full)
	q.skipping = true
	return true
}

// droppable returns the index of the first group that the consumer has not begun, or the number of entries.
func (q *Queue) droppable() int {
	if !q.begun {
		return q.head
	}
	return q.beginning(q.head)
}

// beginning returns the index of the first entry from i on that begins a group, or the number of entries.
func (q *Queue) beginning(i int) int {
	for i < len(q.entries) && !q.entries[i].RandomAccess {
		i++
	}
	return i
}

// dropGroup drops the group that begins at i. If its end has not come in yet, that will be skipped.
func (q *Queue) dropGroup(i int, reason Reason) {
	end := q.beginning(i + 1)
	q.skipping = q.skipping || end == len(q.entries)
	q.drop(i, end, reason)
}

// drop drops the entries from i up to end, and marks the gap.
func (q *Queue) drop(i, end int, reason Reason) {
	var bytes int64
	var g gap
	for _, e := range q.entries[i:end] {
		n := int64(len(e.Data))
		bytes += n
		g.join(e.gap)
		g.add(n)
		e.Release()
	}
	q.size -= bytes
	q.o.Account.dropHeld(reason, bytes)
	if end < len(q.entries) {
		g.join(q.entries[end].gap)
		q.entries[end].gap = g
	} else {
		g.join(q.gap)
		q.gap = g
	}
	q.entries = slices.Delete(q.entries, i, end)
	if q.head == len(q.entries) {
		q.entries, q.head = q.entries[:0], 0
	}
}

// restartLive makes the next parcel begin decoding, behind n bytes that were lost.
func (q *Queue) restartLive(n int64) {
	if !q.begun {
		return // nothing was taken since the beginning, or since the last restart
	}
	q.before.add(n)
	for _, p := range q.front {
		q.o.Account.dropHeld(Resync, int64(p.Size))
		q.before.add(int64(p.Size))
	}
	q.front = nil
	q.begun, q.fresh = false, true
}

func (q *Queue) warn(message, hint string) {
	if q.o.Warn != nil && !q.warned {
		q.warned = true
		q.o.Warn(message, hint)
	}
}
