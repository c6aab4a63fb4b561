package mpegts

import (
	"hash/maphash"
	"slices"
)

// checkPacket checks the next packet.
func (c *Checker) checkPacket(p Packet) {
	number := c.report.Packets
	c.report.Packets++
	defer func() { c.offset += PacketSize }()
	if p[1]&0x80 != 0 {
		c.report.TransportErrors++
		c.record(transportProblem, p, "at byte %d (packet %d)", c.offset, number)
		return
	}
	pid := p.PID()
	if pid == PIDNull {
		return
	}
	c.packetsByPID[pid]++
	psi := c.psi[pid]
	switch c.checkContinuity(pid, p, number) {
	case repeated:
		c.report.Duplicates++
		return
	case interrupted:
		if psi != nil {
			psi.open = false
		}
	}
	if psi != nil {
		c.checkPSI(pid, psi, p, number)
	}
	mark := c.scan.Packet(p)
	if mark&Decided != 0 {
		c.countFrames(c.scan.Decision())
	}
	c.countFrames(mark)
	c.followTables()
	c.checkClocks(pid, p, number)
	c.opening.Add(&c.scan, p, mark)
	c.report.StartsAtKeyframe = c.opening.AtKeyframe()
	c.closeGap(pid, p)
}

// countFrames counts the access units that begin in a packet.
func (c *Checker) countFrames(mark Mark) {
	c.report.Frames += int64(mark.AccessUnits())
	for range mark.Keyframes() {
		c.countKeyframe()
	}
	if mark&MissesSets != 0 && mark.Keyframes() == 0 {
		c.report.SetsMissing++
	}
}

// countKeyframe counts the last frame as a keyframe.
func (c *Checker) countKeyframe() {
	c.report.Keyframes++
	if c.lastKeyframe > 0 {
		n := c.report.Frames - c.lastKeyframe
		c.report.GOPMax = max(c.report.GOPMax, n)
		if c.report.GOPMin == 0 || n < c.report.GOPMin {
			c.report.GOPMin = n
		}
	}
	c.lastKeyframe = c.report.Frames
}

// pidState is the state of a PID after its last packet.
type pidState struct {
	counter       uint8
	payload       bool // the packet carried payload
	duplicate     bool // it was sent for the second time
	discontinuity bool // it had discontinuity_indicator set
	hash          uint64
}

// continuity is how a packet continues those before it on its PID.
type continuity int

const (
	continuous continuity = iota
	repeated
	interrupted
)

// checkContinuity checks the continuity counter (ISO/IEC 13818-1, 2.4.3.3).
func (c *Checker) checkContinuity(pid uint16, p Packet, number int64) continuity {
	now := pidState{counter: p.Continuity(), payload: p.HasPayload(), discontinuity: p.Discontinuity()}
	if now.payload {
		now.hash = maphash.Bytes(c.seed, p.Payload()) // a repeated packet may differ in its header: the PCR is new
	}
	last := c.pids[pid]
	if last == nil {
		c.pids[pid] = &now
		return continuous
	}
	want := last.counter
	if now.payload {
		want = (want + 1) & 0x0F
	}
	same := now.payload && last.payload && !last.duplicate && now.counter == last.counter && now.hash == last.hash
	result := continuous
	switch {
	case now.discontinuity && !(same && last.discontinuity): // a repeated announcement announces nothing new
		c.openGap(pid)
	case now.counter == want:
	case same:
		result = repeated
	default:
		result = interrupted
		c.report.ContinuityErrors++
		if now.counter != last.counter {
			c.report.Lost += int64((now.counter - want) & 0x0F)
		}
		c.record(continuityProblem, p, "at byte %d (packet %d, PID 0x%04x): counter %d instead of %d",
			c.offset, number, pid, now.counter, want)
	}
	now.duplicate = result == repeated
	*last = now
	return result
}

// openGap takes a discontinuity_indicator on a PID: it begins a gap or is part of the open one.
func (c *Checker) openGap(pid uint16) {
	c.clocks.forget(pid)
	tables, _ := c.scan.Tables()
	if pid < pidFirstFree || c.psi[pid] != nil || tables != nil && !tables.Carries(pid) {
		return
	}
	if len(c.announcedPIDs) > 0 && !slices.Contains(c.announcedPIDs, pid) {
		c.announcedPIDs = append(c.announcedPIDs, pid)
		return
	}
	c.report.Gaps++
	c.announcedPIDs = append(c.announcedPIDs[:0], pid)
	c.awaitedPIDs = c.awaitedPIDs[:0]
	if tables != nil {
		for _, s := range tables.Streams {
			c.awaitedPIDs = append(c.awaitedPIDs, s.PID)
		}
	}
}

// closeGap closes the open gap if p is the first payload after it on the last awaited PID.
func (c *Checker) closeGap(pid uint16, p Packet) {
	if len(c.awaitedPIDs) == 0 || !p.HasPayload() {
		return
	}
	if i := slices.Index(c.awaitedPIDs, pid); i >= 0 {
		c.awaitedPIDs = slices.Delete(c.awaitedPIDs, i, i+1)
	}
	if len(c.awaitedPIDs) == 0 {
		c.announcedPIDs = c.announcedPIDs[:0]
	}
}
