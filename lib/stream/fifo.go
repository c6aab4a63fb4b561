package stream

import (
	"slices"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// mergeLimit is how long a waiting chunk may grow by the bytes that follow it. Without merging, a source that dribbles
// would fill the queue with very many very small chunks.
const mergeLimit = 16 << 10

// fifo holds the chunks of a queue in the order in which they came in: first those that were taken and are kept until
// they are confirmed, then those that wait. It knows nothing of why a chunk is kept or dropped.
type fifo struct {
	entries []entry // of which the first head are gone, and the next taken were taken
	head    int
	taken   int

	size      int64 // bytes of all entries
	takenSize int64 // bytes of the taken ones

	lastSeq uint64 // of the entry that came in last
	// takenPos and confirmedPos count the bytes of the stream that were taken, and that were confirmed or lost.
	takenPos, confirmedPos int64
	// nonPackets are the positions of what was taken, is not confirmed and is no packets.
	nonPackets []span
}

// span is from one position of the stream to another.
type span struct{ from, to int64 }

// entry is a chunk in the fifo.
type entry struct {
	Chunk
	seq         uint64 // 1 for the first that came in
	gap         gap    // right before it
	redelivered bool   // it was taken before
}

// gap is a place where something was dropped, or where the stream begins anew.
type gap struct {
	open   bool
	bytes  int64
	change mpegts.Change // of what was dropped
}

func (g *gap) add(n int64, c mpegts.Change) {
	g.open = true
	g.bytes += n
	g.change |= c
}

func (g *gap) join(next gap) {
	g.open = g.open || next.open
	g.bytes += next.bytes
	g.change |= next.change
}

// waiting returns the entries that wait to be taken. The slice is valid until the fifo changes.
func (f *fifo) waiting() []entry { return f.entries[f.head+f.taken:] }

// waitingSize is how many bytes wait to be taken.
func (f *fifo) waitingSize() int64 { return f.size - f.takenSize }

// push appends a chunk after a gap. It joins a short one that waits when it follows that one in memory and in the
// stream, and both together are no longer than longest.
func (f *fifo) push(c *Chunk, g gap, longest int) {
	n := len(c.Data)
	f.size += int64(n)
	if w := f.waiting(); len(w) > 0 && !g.open {
		if last := &w[len(w)-1]; last.canGrowBy(c) && len(last.Data)+n <= longest {
			last.extend(c)
			return
		}
	}
	f.lastSeq++
	c.Retain()
	f.entries = append(f.entries, entry{Chunk: *c, seq: f.lastSeq, gap: g})
}

// canGrowBy reports whether next can become part of e. An entry that was delivered once must not grow: all of it will
// count as sent again.
func (e *entry) canGrowBy(next *Chunk) bool {
	separate := next.RandomAccess && next.Kind != Bytes || next.Change != 0
	return e.Kind == next.Kind && !e.redelivered && !separate && next.follows(&e.Chunk)
}

func (e *entry) delivery() Delivery {
	return Delivery{
		Data: e.Data, Size: len(e.Data), ReceivedAt: e.ReceivedAt, Kind: e.Kind,
		RandomAccess: e.RandomAccess, HasPSI: e.HasPSI, PSI: e.PSI, Counters: e.Counters,
		Change: e.Change | e.gap.change, Sets: e.Sets,
		Gap: e.gap.open, Dropped: e.gap.bytes, Redelivered: e.redelivered,
		block: e.block,
	}
}

// pop removes the first entry. Its reference becomes the caller's.
func (f *fifo) pop() entry {
	e := f.entries[f.head]
	n := int64(len(e.Data))
	f.size -= n
	if f.taken > 0 {
		f.taken--
		f.takenSize -= n
	}
	f.entries[f.head] = entry{}
	f.head++
	f.compact()
	return e
}

// compact makes room at the front of the slice available again.
func (f *fifo) compact() {
	switch {
	case f.head == len(f.entries):
		f.entries, f.head = f.entries[:0], 0
	case f.head > 64 && f.head > len(f.entries)/2:
		n := copy(f.entries, f.entries[f.head:])
		clear(f.entries[n:])
		f.entries, f.head = f.entries[:n], 0
	}
}

// keep returns the first entry that waits, and keeps it as taken.
func (f *fifo) keep() *entry {
	e := &f.waiting()[0]
	f.taken++
	f.takenSize += int64(len(e.Data))
	return e
}

// took counts a delivery as taken, and returns how much that is.
func (f *fifo) took(d *Delivery) amount {
	n := d.amount()
	from := f.takenPos
	f.takenPos += n.bytes
	if d.Kind == Packets {
		return n
	}
	if last := len(f.nonPackets) - 1; last >= 0 && f.nonPackets[last].to == from {
		f.nonPackets[last].to = f.takenPos
	} else {
		f.nonPackets = append(f.nonPackets, span{from, f.takenPos})
	}
	return n
}

// settle counts the first n unconfirmed bytes as confirmed or lost, and returns how much that is.
func (f *fifo) settle(n int64) amount {
	from, to := f.confirmedPos, f.confirmedPos+n
	f.confirmedPos = to
	inPackets := n
	for len(f.nonPackets) > 0 && f.nonPackets[0].from < to {
		s := f.nonPackets[0]
		inPackets -= min(s.to, to) - max(s.from, from)
		if s.to > to {
			break
		}
		f.nonPackets = slices.Delete(f.nonPackets, 0, 1) // keeps the array: a raw stream has one at a time
	}
	return amount{n, inPackets / mpegts.PacketSize}
}

// untake counts all n unconfirmed bytes as not taken, and returns how much that is.
func (f *fifo) untake(n int64) amount {
	all := f.settle(n)
	f.confirmedPos -= n
	f.takenPos -= n
	return all
}

// rewind makes all kept entries wait again.
func (f *fifo) rewind() {
	for i := range f.taken {
		f.entries[f.head+i].redelivered = true
	}
	f.taken, f.takenSize = 0, 0
}

// remove removes waiting()[i:j] and returns how much that is.
func (f *fifo) remove(i, j int) (n amount) {
	w := f.waiting()
	for k := range w[i:j] {
		n.add(w[i+k].amount())
		w[i+k].Release()
	}
	f.size -= n.bytes
	from := f.head + f.taken
	f.entries = slices.Delete(f.entries, from+i, from+j)
	f.compact()
	return n
}

// firstSeq returns the number of the first entry, or of the next one to come in when there is none.
func (f *fifo) firstSeq() uint64 {
	if f.head == len(f.entries) {
		return f.lastSeq + 1
	}
	return f.entries[f.head].seq
}

// clear removes all entries.
func (f *fifo) clear() {
	for i := f.head; i < len(f.entries); i++ {
		f.entries[i].Release()
	}
	f.entries, f.head, f.taken, f.size, f.takenSize = nil, 0, 0, 0, 0
}
