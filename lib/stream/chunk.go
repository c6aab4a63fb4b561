package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Kind says what a chunk is made of.
type Kind uint8

const (
	// Packets: whole TS packets.
	Packets Kind = iota
	// Bytes: of a raw stream.
	Bytes
	// Unsynced: bytes of a TS stream that are no packets.
	Unsynced
	// Partial: the part of a packet at an end of a TS stream.
	Partial
)

// unfit reports whether a live queue drops chunks of this kind.
func (k Kind) unfit() bool { return k == Unsynced || k == Partial }

// dropReason is what a chunk of this kind counts as when it must not be delivered.
func (k Kind) dropReason() Reason {
	if k == Partial {
		return Torn
	}
	return OutOfSync
}

// Chunk is a run of whole packets, or of raw bytes, that arrived together. Its bytes are shared and never change. Each
// holder of a chunk has a reference of its own: Retain makes one, Release gives one up.
type Chunk struct {
	Data       []byte
	ReceivedAt time.Time // when it was read
	Kind       Kind
	// RandomAccess says that decoding can start here: a keyframe, after PAT and PMT where the stream has them right before
	// it. All raw chunks begin.
	RandomAccess bool
	// HasPSI says that the chunk begins with both PAT and PMT.
	HasPSI bool
	// PSI are the PAT and PMT in force where the chunk begins decoding, nil if none have come, and Counters theirs
	// right before the chunk.
	PSI      *mpegts.Tables
	Counters mpegts.Counters
	// Change is what is new in the stream from this chunk on.
	Change mpegts.Change
	// Sets are the parameter sets to put in front where something begins with this chunk: a file, a connection with Live, a
	// viewer. They are nil where the stream carries them itself, and where no set is known.
	Sets *mpegts.ParameterSets
	// Discard says that the chunk must not be delivered, whatever the policy: the part of a packet in front of a splice.
	Discard bool

	block  *block
	offset int // of Data in the block
}

// Retain makes another reference to the chunk's bytes.
func (c *Chunk) Retain() { c.block.refs.Add(1) }

// Release gives a reference up. The bytes must not be looked at any more by its holder.
func (c *Chunk) Release() { c.block.release() }

// follows reports whether c's bytes stand right behind those of prev in memory.
func (c *Chunk) follows(prev *Chunk) bool {
	return c.block == prev.block && prev.offset+len(prev.Data) == c.offset
}

// extend makes c longer by next, which follows it, and takes over nothing: next keeps its reference.
func (c *Chunk) extend(next *Chunk) {
	c.Data = c.block.buf[c.offset : next.offset+len(next.Data)]
}

// Sizes of the buffers that are read into. Reads start small, for a camera's few kilobytes a frame, and grow while
// they come back full.
const (
	minBlock = 64 << 10
	maxBlock = 256 << 10
	// minRead is the least room that is left for a read: less, and a new block is begun.
	minRead = 16 << 10
)

// block is a buffer that chunks share. Its reader holds one reference while it fills it; with the last reference gone
// it is used again.
type block struct {
	buf  []byte
	refs atomic.Int32
}

var blocks [3]sync.Pool // of minBlock, 2*minBlock and maxBlock bytes

func blockClass(size int) *sync.Pool {
	switch size {
	case minBlock:
		return &blocks[0]
	case maxBlock:
		return &blocks[2]
	}
	return &blocks[1]
}

func newBlock(size int) *block {
	b, _ := blockClass(size).Get().(*block)
	if b == nil {
		b = &block{buf: make([]byte, size)}
	}
	b.refs.Store(1)
	return b
}

func (b *block) release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		blockClass(len(b.buf)).Put(b)
	case n < 0:
		panic("stream: a chunk was released twice")
	}
}
