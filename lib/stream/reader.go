package stream

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// ReaderOptions say how a stream is cut.
type ReaderOptions struct {
	Format Format
	// MaxChunk is the longest chunk in bytes; of a TS stream, the most whole packets within it, at least one.
	// 0: as long as a read.
	MaxChunk int
}

// Reader cuts a stream into chunks: at once, as it arrives, never inside a packet, and before each place where decoding
// can start. It loses nothing: bytes that belong to no packet become chunks of a kind of their own, which a queue may
// drop. All methods but Stop belong to one goroutine.
type Reader struct {
	src     io.Reader
	format  Format
	max     int
	scan    mpegts.Scanner
	chunks  []Chunk
	err     error // of the source; returned after everything that was read
	stopped atomic.Bool

	// block[start:end] was read and is not in a chunk yet.
	block      *block
	start, end int
	size       int    // of the next block
	outOfSync  bool   // block[start] is not known to begin a packet
	psi        psiRun // that begins at block[start]
}

// deadliner is a source whose reads can be cut short.
type deadliner interface{ SetReadDeadline(time.Time) error }

// NewReader returns a reader of src. If src has SetReadDeadline, Auto decides within 100 ms, and Stop ends a read that
// waits.
func NewReader(src io.Reader, o ReaderOptions) *Reader {
	r := &Reader{src: src, format: o.Format, size: minBlock, max: o.MaxChunk}
	if r.max <= 0 {
		r.max = maxBlock
	}
	return r
}

// Batch is what one read brought.
type Batch struct {
	// N is how many bytes were read. They are in this batch's chunks, or in a later one's.
	N int
	// Chunks are in the order of the stream. The next call of Next releases them: retain those that you keep.
	Chunks []Chunk
}

// Format is how the stream is cut; Auto until that is decided.
func (r *Reader) Format() Format { return r.format }

// Pending is how many of the bytes that were read are in no chunk yet.
func (r *Reader) Pending() int { return r.end - r.start }

// Stop ends the stream where it is: Next returns what was read, and then io.EOF. It may be called at any time, by any
// goroutine.
func (r *Reader) Stop() {
	r.stopped.Store(true)
	if d, ok := r.src.(deadliner); ok {
		_ = d.SetReadDeadline(time.Unix(1, 0)) // a source that cannot be cut short ends at its next byte
	}
}

// Close releases what the reader holds. Chunks that others have retained stay valid.
func (r *Reader) Close() {
	r.releaseChunks()
	if r.block != nil {
		r.block.release()
		r.block = nil
	}
}

func (r *Reader) releaseChunks() {
	for i := range r.chunks {
		r.chunks[i].Release()
		r.chunks[i] = Chunk{}
	}
	r.chunks = r.chunks[:0]
}

// Next reads once and returns what came. After the last batch it returns io.EOF, or the error of the source. The last
// batch holds what is left: part of a packet, or bytes that belong to none.
func (r *Reader) Next() (Batch, error) {
	r.releaseChunks()
	if r.err != nil {
		if r.start < r.end {
			r.flush()
			return Batch{Chunks: r.chunks}, nil
		}
		return Batch{}, r.err
	}
	n := r.read()
	at := time.Now()
	if r.format == Auto {
		n += r.detectFormat(n)
	}
	if r.format == Raw {
		r.cutRaw(at)
	} else {
		r.cutPackets(at)
	}
	if n == 0 && len(r.chunks) == 0 && r.err != nil {
		return r.Next()
	}
	return Batch{N: n, Chunks: r.chunks}, nil
}

// read reads once into the block, and keeps the error for later.
func (r *Reader) read() int {
	r.makeRoom()
	if r.stopped.Load() {
		r.err = io.EOF
		return 0
	}
	room := len(r.block.buf) - r.end
	n, err := r.src.Read(r.block.buf[r.end:])
	// A source that removes its own framing does not fill the room to the last byte.
	if n >= room-room/16 && r.size < maxBlock {
		r.size *= 2
	}
	r.end += n
	if err != nil {
		if r.stopped.Load() {
			err = io.EOF
		}
		r.err = err
	}
	return n
}

// makeRoom makes room for a read after what is in no chunk yet.
func (r *Reader) makeRoom() {
	if r.block != nil && r.block.refs.Load() == 1 && len(r.block.buf) == r.size {
		// Nobody else holds a reference: use the same memory, which is still in the cache.
		r.end = copy(r.block.buf, r.block.buf[r.start:r.end])
		r.start = 0
		return
	}
	if r.block != nil && len(r.block.buf)-r.end >= minRead {
		return
	}
	next := newBlock(r.size)
	if r.block != nil {
		r.end = copy(next.buf, r.block.buf[r.start:r.end])
		r.start = 0
		r.block.release()
	}
	r.block = next
}

// detectFormat reads on until the format is known, or detectTimeout has passed, and returns how much it read.
func (r *Reader) detectFormat(n int) (more int) {
	d, timed := r.src.(deadliner)
	if timed && n > 0 {
		timed = d.SetReadDeadline(time.Now().Add(detectTimeout)) == nil
		defer func() {
			_ = d.SetReadDeadline(time.Time{})
			if r.stopped.Load() { // Stop's deadline was replaced
				_ = d.SetReadDeadline(time.Unix(1, 0))
			}
		}()
	}
	for {
		r.format = detect(r.block.buf[r.start:r.end])
		if r.format != Auto {
			r.outOfSync = r.format == TS && r.block.buf[r.start] != mpegts.SyncByte
			return more
		}
		if r.err == nil {
			got := r.read()
			more += got
			if n += got; r.err == nil {
				continue
			}
		}
		if timed && errors.Is(r.err, os.ErrDeadlineExceeded) {
			r.err = nil
		}
		r.format = Raw
		return more
	}
}

func (r *Reader) cutRaw(at time.Time) {
	for r.start < r.end {
		n := min(r.end-r.start, r.max)
		r.emit(Chunk{Kind: Bytes, ReceivedAt: at, RandomAccess: true}, n)
	}
}

// flush turns what is left at the end of a TS stream into the last chunks.
func (r *Reader) flush() {
	at := time.Now()
	if r.psi.size > 0 {
		r.emit(Chunk{ReceivedAt: at}, r.psi.size)
		r.psi = psiRun{}
	}
	if r.start == r.end {
		return
	}
	c := Chunk{Kind: Partial, ReceivedAt: at}
	if r.outOfSync {
		c.Kind = Unsynced
	}
	r.emit(c, r.end-r.start)
}

// emit makes the next n bytes a chunk.
func (r *Reader) emit(c Chunk, n int) {
	c.block, c.offset = r.block, r.start
	c.Data = r.block.buf[r.start : r.start+n : r.start+n]
	c.Retain()
	r.chunks = append(r.chunks, c)
	r.start += n
}
