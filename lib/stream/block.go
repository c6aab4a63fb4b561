package stream

import (
	"sync"
	"sync/atomic"
)

// Sizes of the buffers that are read into. Reads start small, for a camera's few kilobytes a frame, and grow while
// they come back full.
const (
	minBlock = 64 << 10
	maxBlock = 256 << 10
	// minRead is the least room for a read. With less, the reader begins a new block.
	minRead = 16 << 10
)

// block is a buffer that chunks share. The reader holds one reference while it fills the block. When the last reference
// is gone, the block is used again.
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
