package testserver

import (
	"math"
	"sync"
	"time"
)

const (
	blockSize = 64 << 10 // bytes
	maxBlocks = 64       // of one connection: 4 MiB
	unlimited = math.MaxInt
	maxPieces = 512 // of one block
	// minRoom is how many bytes must be free in a block for another read.
	minRoom = 4 << 10
)

// blocks are shared by all connections, so that one that is silent holds none.
var blocks = sync.Pool{New: func() any { return new(block) }}

type block struct {
	data        [blockSize]byte
	read, write int
	pieces      [maxPieces]piece // what data consists of
	first, last int              // of pieces, those that have not been read to their end: [first, last)
	next        *block
}

// piece is what one read brought.
type piece struct {
	end int // in the block's data
	at  time.Time
}

func (b *block) isFull() bool { return blockSize-b.write < minRoom || b.last == maxPieces }

// backlog is what a connection has received and its sinks have not taken yet: bytes in order, with the time of each
// read, in a limited number of blocks. One goroutine puts bytes in (reserve, commit), another one takes them out (next,
// done) until there are none: it is started for them, since a stack that waits is much of what a silent connection
// costs.
type backlog struct {
	mu         sync.Mutex
	room       sync.Cond // signalled when a block has been given back
	head, tail *block
	max, count int  // blocks that may be held, and are
	reserved   bool // the free end of tail is being written to
	taken      bool // there is a goroutine that takes them out
}

func newBacklog(max int) *backlog {
	b := &backlog{max: max}
	b.room.L = &b.mu
	return b
}

// reserve returns room for the next bytes; commit must follow. It waits while the backlog is full.
func (b *backlog) reserve() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tail == nil || b.tail.isFull() {
		for b.count == b.max {
			b.room.Wait()
		}
		fresh := blocks.Get().(*block)
		if b.tail == nil {
			b.head = fresh
		} else {
			b.tail.next = fresh
		}
		b.tail = fresh
		b.count++
	}
	b.reserved = true
	return b.tail.data[b.tail.write:]
}

// commit adds the first n bytes of the reserved room, which were read at that time. When it answers true, nobody is
// there to take them out: the caller has to start somebody.
func (b *backlog) commit(n int, at time.Time) (start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved = false
	if t := b.tail; n > 0 {
		t.write += n
		if t.last == t.first || t.pieces[t.last-1].at != at {
			t.last++
		}
		t.pieces[t.last-1] = piece{t.write, at}
	}
	b.trim()
	start = !b.taken && b.head != nil && b.head.read < b.head.write
	b.taken = b.taken || start
	return start
}

// put adds bytes whose time does not matter, and answers as commit does.
func (b *backlog) put(p []byte) (start bool) {
	for len(p) > 0 {
		n := copy(b.reserve(), p)
		start = b.commit(n, time.Time{}) || start
		p = p[n:]
	}
	return start
}

// next returns bytes that came together, and when; done must follow. When there are none it answers nil, and whoever
// asked is no longer there to take them out.
func (b *backlog) next() ([]byte, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.head
	if h == nil || h.read == h.write {
		b.taken = false
		return nil, time.Time{}
	}
	return h.data[h.read:h.pieces[h.first].end], h.pieces[h.first].at
}

// done removes the first n of the bytes that next has returned.
func (b *backlog) done(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.head
	h.read += n
	if h.read == h.pieces[h.first].end {
		h.first++
	}
	b.trim()
	b.room.Signal()
}

// trim gives empty blocks back, but not the one that is being written to. b.mu is held.
func (b *backlog) trim() {
	for h := b.head; h != nil && h.read == h.write && !(h == b.tail && b.reserved); h = b.head {
		b.head = h.next
		if b.head == nil {
			b.tail = nil
		}
		h.read, h.write, h.first, h.last, h.next = 0, 0, 0, 0, nil
		blocks.Put(h)
		b.count--
	}
}
