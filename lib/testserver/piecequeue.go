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
	maxPieces = 512     // of one block
	minRead   = 4 << 10 // bytes that must be free in a block for another read
)

// blocks are shared by all connections: one that is silent holds none.
var blocks = sync.Pool{New: func() any { return new(block) }}

type block struct {
	data        [blockSize]byte
	read, write int
	pieces      [maxPieces]piece // what data consists of
	first, last int              // the pieces that have not been read to their end: [first, last)
	next        *block
}

// piece is what one read brought.
type piece struct {
	end int // in the block's data
	at  time.Time
}

func (b *block) isFull() bool { return blockSize-b.write < minRead || b.last == maxPieces }

// pieceQueue is a first-in first-out queue of bytes, with the time of each read, in a limited number of blocks. One
// goroutine writes (reserve, commit). Another one reads (next, done) until the queue is empty, and ends then: the stack
// of a waiting goroutine would be most of what a silent connection costs.
type pieceQueue struct {
	mu         sync.Mutex
	room       sync.Cond // signalled when a block has been given back
	head, tail *block
	max, count int  // blocks that the queue may hold, and holds
	reserved   bool // the free end of tail is being written to
	hasReader  bool // a goroutine reads until the queue is empty
}

func newPieceQueue(maxBlocks int) *pieceQueue {
	q := &pieceQueue{max: maxBlocks}
	q.room.L = &q.mu
	return q
}

// reserve returns room for the next bytes; commit must follow. It blocks while the queue is full.
func (q *pieceQueue) reserve() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tail == nil || q.tail.isFull() {
		for q.count == q.max {
			q.room.Wait()
		}
		added := blocks.Get().(*block)
		if q.tail == nil {
			q.head = added
		} else {
			q.tail.next = added
		}
		q.tail = added
		q.count++
	}
	q.reserved = true
	return q.tail.data[q.tail.write:]
}

// commit adds the first n bytes of the reserved room, which were read at that time. If it returns true, there is no
// reader: the caller must start one.
func (q *pieceQueue) commit(n int, at time.Time) (startReader bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved = false
	if t := q.tail; n > 0 {
		t.write += n
		if t.last == t.first || t.pieces[t.last-1].at != at {
			t.last++
		}
		t.pieces[t.last-1] = piece{t.write, at}
	}
	q.freeBlocks()
	startReader = !q.hasReader && q.head != nil && q.head.read < q.head.write
	q.hasReader = q.hasReader || startReader
	return startReader
}

// put adds bytes whose time does not matter, and returns what commit does.
func (q *pieceQueue) put(p []byte) (startReader bool) {
	for len(p) > 0 {
		n := copy(q.reserve(), p)
		startReader = q.commit(n, time.Time{}) || startReader
		p = p[n:]
	}
	return startReader
}

// next returns bytes that came together, and when; done must follow. If the queue is empty it returns nil, and the
// caller is no longer its reader.
func (q *pieceQueue) next() ([]byte, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.head
	if h == nil || h.read == h.write {
		q.hasReader = false
		return nil, time.Time{}
	}
	return h.data[h.read:h.pieces[h.first].end], h.pieces[h.first].at
}

// done removes the first n of the bytes that next returned.
func (q *pieceQueue) done(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.head
	h.read += n
	if h.read == h.pieces[h.first].end {
		h.first++
	}
	q.freeBlocks()
	q.room.Signal()
}

// freeBlocks gives empty blocks back, except the one that is being written to. q.mu is held.
func (q *pieceQueue) freeBlocks() {
	for h := q.head; h != nil && h.read == h.write && !(h == q.tail && q.reserved); h = q.head {
		q.head = h.next
		if q.head == nil {
			q.tail = nil
		}
		h.read, h.write, h.first, h.last, h.next = 0, 0, 0, 0, nil
		blocks.Put(h)
		q.count--
	}
}
