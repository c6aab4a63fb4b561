package stream

import (
	"bytes"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// maxPSIRun is the longest run of PSI packets, in bytes, that is held back until what follows is known. A longer one
// belongs to nothing: it could fill the block, and then no more could be read.
const maxPSIRun = 32 * mpegts.PacketSize

// psiRun is a run of PSI packets, and of those that announce a gap. It belongs to what follows it.
type psiRun struct {
	size          int             // in bytes; no more than scanned, so that it is in no chunk yet
	seen          mpegts.Mark     // of all its packets
	before, after mpegts.Counters // of PAT and PMT
}

// undecided is a packet of which the scanner does not know yet what it is.
type undecided struct {
	open  bool
	at    int    // where it is, from Reader.start on
	psi   psiRun // right before it
	since time.Time
}

// cutPackets makes chunks of the whole packets that have been read. A chunk ends before a keyframe and the PSI right
// before it, before a change of the stream, at the longest length, and where sync is lost.
func (r *Reader) cutPackets() {
	r.scan.ReceivedAt = r.at
	for {
		if r.outOfSync && !r.findSync() {
			return
		}
		r.scanPackets()
		if next := r.start + r.scanned; next == r.end || r.block.buf[next] == mpegts.SyncByte {
			break // at the end, or in the middle of a packet
		}
		r.outOfSync = true
		r.resolveUndecided()
		r.cut(r.scanned)
	}
	r.cut(r.scanned - r.held())
}

// held is how many bytes at the end of what was scanned are held back.
func (r *Reader) held() int {
	switch {
	case r.undecided.open:
		return r.scanned - r.undecided.at + r.undecided.psi.size
	case r.psi.size <= maxPSIRun:
		return r.psi.size
	}
	return 0
}

// scanPackets scans the packets that are in sync.
func (r *Reader) scanPackets() {
	for {
		b := r.block.buf[r.start+r.scanned : r.end]
		if len(b) < mpegts.PacketSize || b[0] != mpegts.SyncByte {
			return
		}
		if n := r.scan.SkipPayload(b); n > 0 {
			r.psi = psiRun{}
			r.scanned += n
			continue
		}
		r.scanPacket(b[:mpegts.PacketSize])
	}
}

func (r *Reader) scanPacket(p mpegts.Packet) {
	if r.psi.size == 0 {
		_, r.psi.before = r.scan.Tables()
	}
	mark := r.scan.Packet(p)
	if mark == 0 && p.HasPayload() { // most packets
		r.psi = psiRun{}
		r.scanned += mpegts.PacketSize
		return
	}
	r.count(mark)
	changed := mark&mpegts.Changed != 0
	if mark&mpegts.Decided != 0 {
		decision := r.scan.Decision()
		changed = changed && decision&mpegts.Changed == 0
		r.decided(decision)
	}
	psi := r.psi
	if psi.size > maxPSIRun {
		psi = psiRun{before: psi.after}
	}
	r.scanned += mpegts.PacketSize
	if mark&mpegts.PSI != 0 || !p.HasPayload() && p.Discontinuity() {
		r.psi.size += mpegts.PacketSize
		r.psi.seen |= mark
		_, r.psi.after = r.scan.Tables()
	} else {
		r.psi = psiRun{}
	}
	if changed {
		r.changed(psi)
	}
	switch here := r.scanned - mpegts.PacketSize; {
	case mark&mpegts.Undecided != 0:
		r.undecided = undecided{open: true, at: here, psi: psi, since: r.at}
	case mark&mpegts.RandomAccess != 0:
		r.beginGOP(here, psi)
	}
}

// count counts what begins in a packet.
func (r *Reader) count(mark mpegts.Mark) {
	if mark&mpegts.AccessUnit != 0 {
		r.frames += int64(mark.AccessUnits())
		r.keyframes += int64(mark.Keyframes())
	}
}

// changed says that the stream changes with the packet that was scanned last, or with the PSI before it.
func (r *Reader) changed(psi psiRun) {
	r.resolveUndecided()
	r.cut(r.scanned - mpegts.PacketSize - psi.size)
	r.chunk.Change |= r.scan.Change()
}

// resolveUndecided makes the scanner decide on the undecided packet, if there is one.
func (r *Reader) resolveUndecided() {
	if !r.undecided.open {
		return
	}
	if decision, ok := r.scan.Decide(); ok {
		r.decided(decision)
	}
}

// decided takes the mark of the undecided packet.
func (r *Reader) decided(mark mpegts.Mark) {
	u := r.undecided
	r.undecided = undecided{}
	r.count(mark)
	var change mpegts.Change
	if mark&mpegts.Changed != 0 {
		change = r.scan.Change()
	}
	if mark&mpegts.RandomAccess != 0 {
		r.beginGOP(u.at, u.psi)
	} else if change != 0 {
		r.cut(u.at - u.psi.size)
	}
	r.chunk.Change |= change
}

// beginGOP begins a chunk with the keyframe that is at from start on, and the PSI before it.
func (r *Reader) beginGOP(at int, psi psiRun) {
	if psi.size+mpegts.PacketSize > r.longest {
		psi = psiRun{before: psi.after} // they do not fit into one chunk
	}
	r.cut(at - psi.size)
	const both = mpegts.PAT | mpegts.PMT
	c := &r.chunk
	c.RandomAccess, c.HasPSI, c.Counters = true, psi.seen&both == both, psi.before
	c.PSI, _ = r.scan.Tables()
	c.Sets = r.scan.MissingSets()
	r.reportBlind()
}

// maxBlind is the number of access points after which a stream of which nothing is known is reported. The first packets
// of a stream may not show yet that it is video.
const maxBlind = 16

// reportBlind warns once if the stream by which chunks are cut is neither video nor audio.
func (r *Reader) reportBlind() {
	if r.blind > maxBlind {
		return
	}
	if s, video, ok := r.scan.Followed(); !ok || video || s.Type.IsAudio() {
		return
	}
	if r.blind++; r.blind > maxBlind {
		r.warn("no video can be told in the stream, so it is cut at any PES packet",
			"send video whose PMT says what it is (H.264, HEVC, MPEG-1 or MPEG-2)")
	}
}

// cut makes chunks of the next n bytes, which are packets that were scanned.
func (r *Reader) cut(n int) {
	for n > 0 {
		part := min(n, r.longest)
		r.chunk.ReceivedAt = r.at
		r.emit(&r.chunk, part)
		r.chunk = Chunk{}
		r.scanned -= part
		r.undecided.at -= part
		n -= part
	}
	if r.psi.size > r.scanned {
		r.psi = psiRun{} // it is in a chunk now: the next one does not begin with it
	}
}

// findSync looks for the next packet: a sync byte with another one a packet later. What stands before it becomes
// unsynced chunks. It returns false when it needs more bytes.
func (r *Reader) findSync() bool {
	b := r.block.buf[r.start:r.end]
	for i := 0; ; i++ {
		next := bytes.IndexByte(b[i:], mpegts.SyncByte)
		if next < 0 {
			r.emitUnsynced(len(b))
			return false
		}
		i += next
		after := i + mpegts.PacketSize
		lastOfAll := after == len(b) && r.err != nil
		if after >= len(b) && !lastOfAll {
			r.emitUnsynced(i)
			return false
		}
		if lastOfAll || b[after] == mpegts.SyncByte {
			r.emitUnsynced(i)
			r.outOfSync = false
			return true
		}
	}
}

func (r *Reader) emitUnsynced(n int) {
	for n > 0 {
		part := min(n, r.max)
		r.emit(&Chunk{Kind: Unsynced, ReceivedAt: r.at}, part)
		n -= part
	}
}
