package stream

import "github.com/timdrysdale/vw/lib/mpegts"

// Resumer makes what follows a gap, or what a connection begins with, fit for a decoder: PAT and PMT come first, and
// each PID goes on at its next payload_unit_start. Where the decoder has seen the stream before the gap, each PID
// announces it (ISO/IEC 13818-1, 2.4.3.5). Where it has not, the keyframe's parameter sets are put in front of it;
// inside a connection decoders keep them, and a browser's would take them for a picture. The zero value is not active.
type Resumer struct {
	active   bool
	announce bool
	first    bool // nothing has come since Begin
	resumed  [mpegts.NumPIDs / 64]uint64
	psi      *mpegts.Tables // in force; nil: none have come since Begin
}

// Begin says that the next chunk follows a gap. With announce the gap is announced.
func (r *Resumer) Begin(announce bool) {
	*r = Resumer{active: true, announce: announce, first: true}
}

// End lets everything pass as it is.
func (r *Resumer) End() { r.active = false }

// Active reports whether chunks have to go through Resume. That they must is so until End is called.
func (r *Resumer) Active() bool { return r.active }

// Settled reports whether all PIDs of the program, and those of its tables, go on again: End will do no harm.
func (r *Resumer) Settled() bool {
	if r.psi == nil || !r.has(mpegts.PIDPAT) || !r.has(r.psi.PMTPID) {
		return false
	}
	for _, s := range r.psi.Streams {
		if !r.has(s.PID) {
			return false
		}
	}
	return true
}

// Resume returns what of the next chunk may pass, with what had to be put in front, as bytes of its own; size of them
// are the stream's. If the chunk passes as it is, changed is false, and data is the chunk's.
func (r *Resumer) Resume(c *Chunk) (data []byte, size int, changed bool) {
	if r.passes(c) {
		return c.Data, len(c.Data), false
	}
	data = make([]byte, 0, len(c.Data)+4*mpegts.PacketSize)
	r.rewrite(c, func(p mpegts.Packet, injected bool) {
		data = append(data, p...)
		if !injected {
			size += len(p)
		}
	})
	return data, size, true
}

func (r *Resumer) has(pid uint16) bool { return r.resumed[pid/64]&(1<<(pid%64)) != 0 }

// injectsPSI reports whether PAT and PMT have to be put in front of a chunk.
func (r *Resumer) injectsPSI(c *Chunk) bool { return r.first && !c.HasPSI && c.PSI != nil }

// injectsSets reports whether the parameter sets have to be put in front of the keyframe that a chunk begins with.
func (r *Resumer) injectsSets(c *Chunk) bool { return r.first && !r.announce && c.Sets != nil }

// KeyframeAt returns where the keyframe begins in the bytes of a chunk with RandomAccess, after the PSI: this is where
// parameter sets have to be put.
func KeyframeAt(data []byte) int {
	for i := 0; i < len(data); i += mpegts.PacketSize {
		if _, ok := mpegts.Packet(data[i : i+mpegts.PacketSize]).PTS(); ok {
			return i
		}
	}
	return 0
}

// passes reports whether a chunk passes as it is.
func (r *Resumer) passes(c *Chunk) bool {
	if c.Kind != Packets || !r.active {
		return true
	}
	if r.injectsPSI(c) || r.injectsSets(c) {
		return false
	}
	for data := c.Data; len(data) >= mpegts.PacketSize; data = data[mpegts.PacketSize:] {
		if pid := mpegts.Packet(data).PID(); !r.has(pid) && pid != mpegts.PIDNull {
			return false
		}
	}
	return true
}

// rewrite calls add for each packet that passes, and for those that are injected. It returns how many bytes do not
// pass.
func (r *Resumer) rewrite(c *Chunk, add func(p mpegts.Packet, injected bool)) (dropped int64) {
	inject := func(packets []byte) {
		for ; len(packets) > 0; packets = packets[mpegts.PacketSize:] {
			r.resume(packets[:mpegts.PacketSize], true, add)
		}
	}
	if r.injectsPSI(c) {
		inject(c.PSI.Append(nil, c.Counters))
	}
	setsAt := -1
	if r.injectsSets(c) {
		setsAt = KeyframeAt(c.Data)
	}
	r.first = false
	if c.PSI != nil {
		r.psi = c.PSI
	}
	for p := c.Data; len(p) > 0; p = p[mpegts.PacketSize:] {
		packet := mpegts.Packet(p[:mpegts.PacketSize])
		if len(c.Data)-len(p) == setsAt {
			inject(c.Sets.AppendPES(nil, packet))
		}
		pid := packet.PID()
		switch {
		case pid == mpegts.PIDNull, r.has(pid):
			add(packet, false)
		case packet.PayloadUnitStart():
			r.resume(packet, false, add)
		case !packet.HasPayload() && (packet.Discontinuity() || c.PSI == nil || !c.PSI.Carries(pid)):
			add(packet, false) // an announcement of another gap, or nothing but a clock, on a PID of its own
		default:
			dropped += mpegts.PacketSize
		}
	}
	return dropped
}

// resume adds a packet with payload, after the announcement if it is the first one of its PID after a gap.
func (r *Resumer) resume(p mpegts.Packet, injected bool, add func(p mpegts.Packet, injected bool)) {
	if pid := p.PID(); !r.has(pid) {
		r.resumed[pid/64] |= 1 << (pid % 64)
		if r.announce {
			add(mpegts.AppendDiscontinuity(nil, p), true)
		}
	}
	add(p, injected)
}
