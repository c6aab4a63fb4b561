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
// can start. It loses nothing: what is no packet becomes chunks of their own kind, and it is for the queue to say what
// is done with them. A Reader is for one goroutine, but for Stop.
type Reader struct {
	src     io.Reader
	format  Format
	max     int
	scan    mpegts.Scanner
	chunks  []Chunk
	err     error // what the source ended with; told once all it brought has been
	stopped atomic.Bool

	// block[start:end] was read and is not in a chunk yet.
	block      *block
	start, end int
	size       int  // of the next block
	hunting    bool // block[start] is not known to begin a packet
	tables     run  // that block[start] begins
}

// deadliner is a source whose reads can be cut short.
type deadliner interface{ SetReadDeadline(time.Time) error }

// NewReader returns a reader of src. If src has SetReadDeadline, Auto decides after 100 ms at the latest, and Stop ends
// a read that waits.
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
	// Chunks are in the order of the stream. They are the caller's until the next call, which takes them back:
	// whoever keeps one retains it.
	Chunks []Chunk
}

// Format is how the stream is cut; Auto until that is decided.
func (r *Reader) Format() Format { return r.format }

// Pending is how many of the bytes that were read are in no chunk yet.
func (r *Reader) Pending() int { return r.end - r.start }

// Stop ends the stream where it is: a Next that waits, and all later ones, go on to the end of what was read. It may be
// called at any time, from anywhere.
func (r *Reader) Stop() {
	r.stopped.Store(true)
	if d, ok := r.src.(deadliner); ok {
		_ = d.SetReadDeadline(time.Unix(1, 0)) // a source that cannot be cut short ends at its next byte
	}
}

// Close gives back what the reader holds. Chunks that others have retained stay valid.
func (r *Reader) Close() {
	r.giveBack()
	if r.block != nil {
		r.block.release()
		r.block = nil
	}
}

func (r *Reader) giveBack() {
	for i := range r.chunks {
		r.chunks[i].Release()
		r.chunks[i] = Chunk{}
	}
	r.chunks = r.chunks[:0]
}

// Next reads once and returns what came. After the last batch it returns io.EOF, or the error of the source. The last
// batch before that holds what was left: a torn packet, bytes that never became packets.
func (r *Reader) Next() (Batch, error) {
	r.giveBack()
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
		n += r.decide(n)
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

// read reads once into the block and keeps the error for later.
func (r *Reader) read() int {
	r.makeRoom()
	if r.stopped.Load() {
		r.err = io.EOF
		return 0
	}
	room := len(r.block.buf) - r.end
	n, err := r.src.Read(r.block.buf[r.end:])
	// A source that takes out what is not the stream's does not fill the room to the last byte.
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

// makeRoom sees to it that there is room to read into, and that what is not in a chunk yet can be finished.
func (r *Reader) makeRoom() {
	if r.block != nil && r.block.refs.Load() == 1 && len(r.block.buf) == r.size {
		// Nobody else holds any of it: the same memory again, which is still in the cache.
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

// decide goes on reading until the format can be told, for detectPatience at most, and returns how much it read.
func (r *Reader) decide(n int) (more int) {
	d, patient := r.src.(deadliner)
	if patient && n > 0 {
		patient = d.SetReadDeadline(time.Now().Add(detectPatience)) == nil
		defer func() {
			_ = d.SetReadDeadline(time.Time{})
			if r.stopped.Load() { // Stop came in between, and its deadline is gone
				_ = d.SetReadDeadline(time.Unix(1, 0))
			}
		}()
	}
	for {
		r.format = detect(r.block.buf[r.start:r.end])
		if r.format != Auto {
			r.hunting = r.format == TS && r.block.buf[r.start] != mpegts.SyncByte
			return more
		}
		if r.err == nil {
			got := r.read()
			more += got
			if n += got; r.err == nil {
				continue
			}
		}
		if patient && errors.Is(r.err, os.ErrDeadlineExceeded) {
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
	if r.tables.size > 0 {
		r.emit(Chunk{ReceivedAt: at}, r.tables.size)
		r.tables = run{}
	}
	if r.start == r.end {
		return
	}
	c := Chunk{Kind: Partial, ReceivedAt: at}
	if r.hunting {
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
