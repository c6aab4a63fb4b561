package viewer

import (
	"sync"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/stream"
)

// inbox holds what has been read and not been given to the viewers yet. Putting something in takes no longer than that:
// what there is no room for is dropped, up to the next keyframe.
type inbox struct {
	limit int64
	ready wake.Signal // there is something

	mu      sync.Mutex
	pending []pending
	size    int64
	full    int64 // bytes that were dropped after the last pending chunk
}

// pending is a chunk with a reference of its own.
type pending struct {
	stream.Chunk
	full int64 // bytes that were dropped right before it, because there was no room
}

// put takes a batch.
func (in *inbox) put(b stream.Batch) {
	if len(b.Chunks) == 0 {
		return
	}
	in.mu.Lock()
	for i := range b.Chunks {
		c := b.Chunks[i]
		n := int64(len(c.Data))
		if in.full > 0 && !c.RandomAccess || in.size+n > in.limit && in.size > 0 {
			in.full += n
			continue
		}
		c.Retain()
		in.pending = append(in.pending, pending{c, in.full})
		in.size += n
		in.full = 0
	}
	in.mu.Unlock()
	in.ready.Set()
}

func (in *inbox) empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.pending) == 0
}

// takeFull returns how many bytes were dropped after everything that was taken.
func (in *inbox) takeFull() (n int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, in.full = in.full, 0
	return n
}

// take returns everything that was put in, for which into gives the room. The caller releases the chunks.
func (in *inbox) take(into []pending) []pending {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := in.pending
	in.pending, in.size = into[:0], 0
	return all
}
