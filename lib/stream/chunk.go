package stream

import (
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
	// Unsynced: bytes of a TS stream that belong to no packet.
	Unsynced
	// Partial: part of a packet, at the end of a TS stream.
	Partial
)

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
	// RandomAccess says that decoding can start with this chunk: it begins with a keyframe, or with PAT and PMT where
	// the stream has them right before one. It is set for all raw chunks.
	RandomAccess bool
	// HasPSI says that the chunk begins with both PAT and PMT.
	HasPSI bool
	// PSI are, with RandomAccess, the PAT and PMT in force, nil if none have come. Counters are theirs right before the
	// chunk.
	PSI      *mpegts.Tables
	Counters mpegts.Counters
	// Change is what is new in the stream from this chunk on.
	Change mpegts.Change
	// Sets are the parameter sets that the keyframe needs and the stream does not repeat here. Whoever begins something
	// new with this chunk (a file, a connection with Live, a viewer) puts Sets.AppendPES at KeyframeAt(Data), and
	// counts it as injected. Nil: the keyframe has its sets with it.
	Sets *mpegts.ParameterSets
	// Splice says that the stream of another publisher begins with this chunk. A live queue goes on at its first
	// keyframe, and announces that.
	Splice bool
	// Discard says that no queue may deliver the chunk, not even a lossless one: it is part of a packet before a
	// splice.
	Discard bool

	block  *block
	offset int // of Data in the block
}

func (c *Chunk) amount() amount { return amountOf(c.Kind, len(c.Data)) }

// Retain makes another reference to the chunk's bytes.
func (c *Chunk) Retain() { c.block.refs.Add(1) }

// Release gives a reference up. Its holder must not read the bytes any more.
func (c *Chunk) Release() { c.block.release() }

// follows reports whether c's bytes stand right after those of prev in memory.
func (c *Chunk) follows(prev *Chunk) bool {
	return c.block == prev.block && prev.offset+len(prev.Data) == c.offset
}

// extend makes c longer by next, which follows it. next keeps its reference.
func (c *Chunk) extend(next *Chunk) {
	c.Data = c.block.buf[c.offset : next.offset+len(next.Data)]
}
