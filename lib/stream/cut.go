package stream

import (
	"bytes"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// maxRun is the longest run of tables, in bytes, that is kept back for what it stands in front of.
const maxRun = 32 * mpegts.PacketSize

// run is a run of packets with nothing but tables in them, at the end of what was read: it belongs to what comes next.
type run struct {
	size   int             // in bytes
	seen   mpegts.Mark     // of all its packets
	before mpegts.Counters // of the tables, in front of it
}

// cutPackets makes chunks of the whole packets that have been read. A chunk ends before a keyframe and the tables right
// in front of it, at the longest length, and where the bytes stop being packets. Tables at the end wait for what they
// stand in front of.
func (r *Reader) cutPackets(at time.Time) {
	for {
		if r.hunting && !r.hunt(at) {
			return
		}
		r.cutRun(at)
		if next := r.start + r.tables.size; next == r.end || r.block.buf[next] == mpegts.SyncByte {
			return // at the end, or in the middle of a packet
		}
		r.hunting = true
	}
}

// cutRun makes chunks of the packets that follow each other from start on.
func (r *Reader) cutRun(at time.Time) {
	longest := max(r.max/mpegts.PacketSize, 1) * mpegts.PacketSize
	tables := r.tables // those right in front of p
	r.tables = run{}
	c := Chunk{ReceivedAt: at}
	p := r.start + tables.size
	for p+mpegts.PacketSize <= r.end && r.block.buf[p] == mpegts.SyncByte {
		if n := r.scan.SkipPayload(r.block.buf[p:min(r.end, r.start+longest)]); n > 0 {
			tables = run{}
			if p += n; p-r.start >= longest {
				r.emit(c, p-r.start)
				c = Chunk{ReceivedAt: at}
			}
			continue
		}
		if tables.size == 0 {
			tables.seen = 0
			_, tables.before = r.scan.Tables()
		}
		mark := r.scan.Packet(r.block.buf[p : p+mpegts.PacketSize])
		if mark&mpegts.PSI != 0 {
			tables.size += mpegts.PacketSize
			tables.seen |= mark
		} else {
			if mark&mpegts.RandomAccess != 0 {
				if begin := p - tables.size; begin > r.start {
					r.emit(c, begin-r.start)
				}
				const both = mpegts.PAT | mpegts.PMT
				c = Chunk{ReceivedAt: at, RandomAccess: true, HasPSI: tables.seen&both == both, Counters: tables.before}
				c.PSI, _ = r.scan.Tables()
			}
			tables = run{}
		}
		p += mpegts.PacketSize
		if p-r.start >= longest {
			if p-tables.size == r.start {
				tables = run{} // the chunk is nothing but tables
			}
			r.emit(c, p-tables.size-r.start)
			c = Chunk{ReceivedAt: at}
		}
	}
	more := p == r.end || r.block.buf[p] == mpegts.SyncByte
	if more && tables.size > 0 && tables.size <= maxRun {
		r.tables = tables
		p -= tables.size
	}
	if p > r.start {
		r.emit(c, p-r.start)
	}
}

// hunt looks for the next packet: a sync byte with another one a packet later. What stands before it is junk. It
// answers false when more bytes are needed to tell.
func (r *Reader) hunt(at time.Time) bool {
	b := r.block.buf[r.start:r.end]
	for i := 0; ; i++ {
		next := bytes.IndexByte(b[i:], mpegts.SyncByte)
		if next < 0 {
			r.junk(at, len(b))
			return false
		}
		i += next
		behind := i + mpegts.PacketSize
		lastOfAll := behind == len(b) && r.err != nil
		if behind >= len(b) && !lastOfAll {
			r.junk(at, i)
			return false
		}
		if lastOfAll || b[behind] == mpegts.SyncByte {
			r.junk(at, i)
			r.hunting = false
			return true
		}
	}
}

func (r *Reader) junk(at time.Time, n int) {
	for n > 0 {
		part := min(n, r.max)
		r.emit(Chunk{Kind: Unsynced, ReceivedAt: at}, part)
		n -= part
	}
}
