package stream

import (
	"bytes"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// maxPSIRun is the longest run of PSI packets, in bytes, that is held back until what follows is known.
const maxPSIRun = 32 * mpegts.PacketSize

// psiRun is a run of PSI packets at the end of what was read. It belongs to what follows it.
type psiRun struct {
	size   int             // in bytes
	seen   mpegts.Mark     // of all its packets
	before mpegts.Counters // of PAT and PMT, before it
}

// cutPackets makes chunks of the whole packets that have been read. A chunk ends before a keyframe and the PSI right before
// it, at the longest length, and where sync is lost. PSI at the end of what was read is held back until what follows is
// known.
func (r *Reader) cutPackets(at time.Time) {
	for {
		if r.outOfSync && !r.findSync(at) {
			return
		}
		r.cutRun(at)
		if next := r.start + r.psi.size; next == r.end || r.block.buf[next] == mpegts.SyncByte {
			return // at the end, or in the middle of a packet
		}
		r.outOfSync = true
	}
}

// cutRun makes chunks of the packets that are in sync from start on.
func (r *Reader) cutRun(at time.Time) {
	longest := max(r.max/mpegts.PacketSize, 1) * mpegts.PacketSize
	psi := r.psi // right before p
	r.psi = psiRun{}
	c := Chunk{ReceivedAt: at}
	p := r.start + psi.size
	for p+mpegts.PacketSize <= r.end && r.block.buf[p] == mpegts.SyncByte {
		if n := r.scan.SkipPayload(r.block.buf[p:min(r.end, r.start+longest)]); n > 0 {
			psi = psiRun{}
			if p += n; p-r.start >= longest {
				r.emit(c, p-r.start)
				c = Chunk{ReceivedAt: at}
			}
			continue
		}
		if psi.size == 0 {
			psi.seen = 0
			_, psi.before = r.scan.Tables()
		}
		mark := r.scan.Packet(r.block.buf[p : p+mpegts.PacketSize])
		if mark&mpegts.PSI != 0 {
			psi.size += mpegts.PacketSize
			psi.seen |= mark
		} else {
			if mark&mpegts.RandomAccess != 0 {
				if begin := p - psi.size; begin > r.start {
					r.emit(c, begin-r.start)
				}
				const both = mpegts.PAT | mpegts.PMT
				c = Chunk{ReceivedAt: at, RandomAccess: true, HasPSI: psi.seen&both == both, Counters: psi.before}
				c.PSI, _ = r.scan.Tables()
			}
			psi = psiRun{}
		}
		p += mpegts.PacketSize
		if p-r.start >= longest {
			if p-psi.size == r.start {
				psi = psiRun{} // the chunk is nothing but PSI
			}
			r.emit(c, p-psi.size-r.start)
			c = Chunk{ReceivedAt: at}
		}
	}
	more := p == r.end || r.block.buf[p] == mpegts.SyncByte
	if more && psi.size > 0 && psi.size <= maxPSIRun {
		r.psi = psi
		p -= psi.size
	}
	if p > r.start {
		r.emit(c, p-r.start)
	}
}

// findSync looks for the next packet: a sync byte with another one a packet later. What stands before it becomes unsynced
// chunks. It returns false when it needs more bytes.
func (r *Reader) findSync(at time.Time) bool {
	b := r.block.buf[r.start:r.end]
	for i := 0; ; i++ {
		next := bytes.IndexByte(b[i:], mpegts.SyncByte)
		if next < 0 {
			r.emitUnsynced(at, len(b))
			return false
		}
		i += next
		after := i + mpegts.PacketSize
		lastOfAll := after == len(b) && r.err != nil
		if after >= len(b) && !lastOfAll {
			r.emitUnsynced(at, i)
			return false
		}
		if lastOfAll || b[after] == mpegts.SyncByte {
			r.emitUnsynced(at, i)
			r.outOfSync = false
			return true
		}
	}
}

func (r *Reader) emitUnsynced(at time.Time, n int) {
	for n > 0 {
		part := min(n, r.max)
		r.emit(Chunk{Kind: Unsynced, ReceivedAt: at}, part)
		n -= part
	}
}
