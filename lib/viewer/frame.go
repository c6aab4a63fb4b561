package viewer

import (
	"encoding/binary"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// frame is one message of the stream as it goes over the connection of every viewer. It does not change once made.
type frame struct {
	// wire is a websocket frame with its header, payload what is in it. They are nil where the bytes go to no viewer.
	wire, payload []byte
	pos           int64 // in the stream, of its first byte
	size          int64 // bytes of the stream
	kind          stream.Kind
	receivedAt    time.Time
	reason        stream.Reason // why wire is nil
	begin         *stream.Chunk // what a chunk that begins a group says of itself, without its bytes; else nil
}

func (f *frame) end() int64 { return f.pos + f.size }

// frameMemory is what a frame takes in memory beside its bytes, about.
const frameMemory = 192

func (f *frame) memory() int64 { return int64(len(f.wire)) + frameMemory }

// newFrame makes one message of chunks that follow each other in the stream.
func newFrame(pos int64, chunks []stream.Chunk) *frame {
	f := &frame{pos: pos, kind: chunks[0].Kind, receivedAt: chunks[0].ReceivedAt}
	for i := range chunks {
		f.size += int64(len(chunks[i].Data))
	}
	f.wire = appendMessageHeader(make([]byte, 0, f.size+wsconn.MaxHeader), int(f.size))
	header := len(f.wire)
	for i := range chunks {
		f.wire = append(f.wire, chunks[i].Data...)
	}
	f.payload = f.wire[header:]
	if c := chunks[0]; c.RandomAccess {
		f.begin = &stream.Chunk{
			ReceivedAt: c.ReceivedAt, Kind: c.Kind, RandomAccess: true,
			HasPSI: c.HasPSI, PSI: c.PSI, Counters: c.Counters, Sets: c.Sets,
		}
	}
	return f
}

func appendMessageHeader(dst []byte, size int) []byte {
	return wsconn.AppendHeader(dst, wsconn.Header{Final: true, Opcode: wsconn.OpBinary, Length: int64(size)})
}

// appendControl appends a control frame. payload has at most wsconn.MaxControlPayload bytes.
func appendControl(dst []byte, opcode byte, payload []byte) []byte {
	dst = wsconn.AppendHeader(dst, wsconn.Header{Final: true, Opcode: opcode, Length: int64(len(payload))})
	return append(dst, payload...)
}

// appendClose appends a close frame. The reason is short.
func appendClose(dst []byte, code int, reason string) []byte {
	return appendControl(dst, wsconn.OpClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

// group is a group of pictures: the frames from one that decoding can begin with up to the next such. The frames before
// the first keyframe of a stream are a group that nothing begins with.
type group struct {
	id         uint64 // one more than that of the group before
	receivedAt time.Time
	// randomAccess: decoding can begin with its first frame.
	randomAccess bool
	// afterGap and gapAfter: bytes before it, or after it, were dropped for every viewer.
	afterGap, gapAfter bool

	frames   []*frame
	released int   // how many frames at its beginning are no longer here: frames[0] is the frame of that index
	start    int64 // position in the stream
	memory   int64
	viewers  int // whose place is in it
}

// count is how many frames have come in.
func (g *group) count() int { return g.released + len(g.frames) }

// frame returns the frame with the index i, which has not been released.
func (g *group) frame(i int) *frame { return g.frames[i-g.released] }

// whole reports whether a viewer can begin with the group.
func (g *group) whole() bool { return g.randomAccess && g.released == 0 }

func (g *group) add(f *frame) {
	g.frames = append(g.frames, f)
	g.memory += f.memory()
}

// release lets the frames at the beginning go until the group takes at most limit, but never the last one.
func (g *group) release(limit int64) {
	n := 0
	for ; g.memory > limit && n < len(g.frames)-1; n++ {
		g.memory -= g.frames[n].memory()
		g.frames[n] = nil
	}
	g.frames = g.frames[n:] // append moves what is left when it has no more room
	g.released += n
}

// restarts are the changes after which no viewer's player goes on.
const restarts = mpegts.ClockJump | mpegts.SetsChanged | mpegts.CodecChanged
