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
	// Warn is called at most once for each thing that the user should know of the stream; nil: never.
	Warn func(message, hint string)
}

// Reader cuts a stream into chunks: at once, as it arrives, never inside a packet, and before each place where decoding
// can start. It holds back only PSI until what follows is known, and for maxHold at most packets until it is known
// whether a keyframe begins with them. It loses nothing: bytes that belong to no packet become chunks of a kind of
// their own, which a queue may drop. All methods but Stop belong to one goroutine.
type Reader struct {
	src     io.Reader
	format  Format
	max     int // bytes of a chunk
	longest int // bytes of a chunk of packets
	warn    func(message, hint string)
	scan    mpegts.Scanner
	chunks  []Chunk
	err     error     // of the source; returned after everything that was read
	at      time.Time // of the last read
	checked bool      // the format
	// discarding: the packets have a size that nothing here can cut.
	discarding bool
	stopped    atomic.Bool

	// block[start:end] was read and is not in a chunk yet.
	block      *block
	start, end int
	size       int  // of the next block
	outOfSync  bool // block[start] is not known to begin a packet

	// scanned is the size of the packets from start on that the scanner has seen. The last of them may be psi.
	scanned   int
	psi       psiRun
	undecided undecided
	chunk     Chunk // what is known of the chunk that begins at start
	blind     int   // how many access points were not those of video or audio

	frames, keyframes int64 // that have begun
}

// deadliner is a source whose reads can be cut short.
type deadliner interface{ SetReadDeadline(time.Time) error }

// NewReader returns a reader of src. If src has SetReadDeadline, the format is known within 100 ms, packets are held
// back for maxHold at most, and Stop ends a read that waits. Otherwise each of these waits for the next bytes.
func NewReader(src io.Reader, o ReaderOptions) *Reader {
	r := &Reader{src: src, format: o.Format, size: minBlock, max: o.MaxChunk, warn: o.Warn}
	if r.max <= 0 {
		r.max = maxBlock
	}
	r.longest = max(r.max/mpegts.PacketSize, 1) * mpegts.PacketSize
	if r.warn == nil {
		r.warn = func(string, string) {}
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

// amount is how many bytes were read, and how many packets are in the chunks.
func (b *Batch) amount() amount {
	n := amount{bytes: int64(b.N)}
	for i := range b.Chunks {
		n.packets += b.Chunks[i].amount().packets
	}
	return n
}

// Frames returns how many access units of the video have begun in what Next has scanned, and how many of them are
// keyframes.
func (r *Reader) Frames() (frames, keyframes int64) { return r.frames, r.keyframes }

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
	n := r.readInTime()
	r.at = time.Now()
	if !r.checked && r.format != Raw {
		n += r.detectFormat(n)
	}
	if r.format == Raw {
		r.cutRaw()
	} else {
		r.cutPackets()
	}
	if n == 0 && len(r.chunks) == 0 && r.err != nil {
		return r.Next()
	}
	return Batch{N: n, Chunks: r.chunks}, nil
}

// maxHold is how long packets are held back until it is known whether a keyframe begins with them. (The scanner decides
// after 16 packets.)
const maxHold = 20 * time.Millisecond

// readInTime reads once. If packets are held back it does not wait longer than those may be, and then decides what they
// are.
func (r *Reader) readInTime() int {
	if !r.undecided.open || !r.setDeadline(r.undecided.since.Add(maxHold)) {
		return r.read()
	}
	n := r.read()
	r.clearDeadline()
	if errors.Is(r.err, os.ErrDeadlineExceeded) {
		r.err = nil
		r.resolveUndecided()
	}
	return n
}

// setDeadline bounds the next reads. It returns false if the source cannot do that.
func (r *Reader) setDeadline(t time.Time) bool {
	d, ok := r.src.(deadliner)
	return ok && d.SetReadDeadline(t) == nil
}

func (r *Reader) clearDeadline() {
	r.setDeadline(time.Time{})
	if r.stopped.Load() { // Stop's deadline was replaced
		r.setDeadline(time.Unix(1, 0))
	}
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
		// No other reference is left: use the same memory, which is still in the cache.
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
	timed := n > 0 && r.setDeadline(time.Now().Add(detectTimeout))
	size, known := detect(r.block.buf[r.start:r.end], false)
	for !known && r.err == nil {
		got := r.read()
		more += got
		n += got
		size, known = detect(r.block.buf[r.start:r.end], false)
	}
	if timed {
		r.clearDeadline()
		if errors.Is(r.err, os.ErrDeadlineExceeded) {
			r.err = nil
		}
	}
	if !known {
		size, _ = detect(r.block.buf[r.start:r.end], true)
	}
	r.checked = true
	r.setFormat(size)
	return more
}

// setFormat takes the size of the packets that were found; 0: none.
func (r *Reader) setFormat(size int) {
	wrong := &PacketSizeError{size}
	switch {
	case size == mpegts.PacketSize || size == 0 && r.format == TS:
		r.format = TS
		r.outOfSync = r.start < r.end && r.block.buf[r.start] != mpegts.SyncByte
	case size == 0:
		r.format = Raw
	case r.format == Auto:
		r.format = Raw
		r.warn("raw bytes are passed on, because "+wrong.Error(), wrong.Hint())
	default:
		r.format = Raw
		r.discarding = true
		r.err = wrong
	}
}

func (r *Reader) cutRaw() {
	for r.start < r.end {
		n := min(r.end-r.start, r.max)
		if r.discarding {
			r.emit(&Chunk{Kind: Unsynced, ReceivedAt: r.at, Discard: true}, n)
		} else {
			r.emit(&Chunk{Kind: Bytes, ReceivedAt: r.at, RandomAccess: true}, n)
		}
	}
}

// flush turns what is left at the end of a TS stream into the last chunks.
func (r *Reader) flush() {
	r.at = time.Now()
	r.resolveUndecided()
	r.cut(r.scanned)
	if r.start == r.end {
		return
	}
	c := Chunk{Kind: Partial, ReceivedAt: r.at}
	if r.outOfSync {
		c.Kind = Unsynced
	}
	r.emit(&c, r.end-r.start)
}

// emit makes the next n bytes a chunk.
func (r *Reader) emit(c *Chunk, n int) {
	c.block, c.offset = r.block, r.start
	c.Data = r.block.buf[r.start : r.start+n : r.start+n]
	c.Retain()
	r.chunks = append(r.chunks, *c)
	r.start += n
}
