package mpegts

import "time"

// stops finds the clock of a program that stops, by the other one: PCR and timestamps go on together, and part by no
// more than the time for which a decoder may hold what it gets. Behind a jump of either, and behind an announced gap,
// it begins anew: how far they have parted is not known there.
type stops struct {
	// pcrPID is the PID that a PMT names for the PCR, by the PMT's PID.
	pcrPID map[uint16]uint16
	// dts came first behind the last PCR, if behindPCR.
	dts       uint64
	behindPCR bool
	// untimed has, by PID, the PCR where the PES packets without a timestamp begin that came last.
	untimed map[uint16]uint64
	// some and none: PES packets with a timestamp have come, and such without.
	some, none bool
}

// reset begins anew.
func (s *stops) reset() {
	s.behindPCR = false
	clear(s.untimed)
}

// name takes what a PMT names for the PCR.
func (s *stops) name(pmt, pcr uint16) {
	if old, ok := s.pcrPID[pmt]; ok && old == pcr {
		return
	}
	if s.pcrPID == nil {
		s.pcrPID = make(map[uint16]uint16)
	}
	s.pcrPID[pmt] = pcr
	s.reset()
}

// pcrPID returns the PID of the program's PCR; PIDNull when there is none.
func (c *Checker) pcrPID() uint16 {
	if tables, _ := c.scan.Tables(); tables != nil {
		if pid, ok := c.clocks.stops.pcrPID[tables.PMTPID]; ok {
			return pid
		}
	}
	return PIDNull
}

// pcrStops takes a DTS. It is compared with the PCR of its own PID, or if that carries no stream, of the program: a
// stream that the PCR comes with may end before the others do.
func (c *Checker) pcrStops(pid uint16, kind StreamType, dts uint64, p Packet, number int64) {
	s := &c.clocks.stops
	from := c.pcrPID()
	tables, _ := c.scan.Tables()
	_, running := c.clocks.pcr[from]
	if !running || pid != from && (tables.Carries(from) || !kind.IsVideo()) {
		return
	}
	if !s.behindPCR {
		s.dts, s.behindPCR = dts, true
		return
	}
	limit := int64(c.MaxPCRInterval)*ClockRate/int64(time.Second) + kind.maxDelay()
	if d := ClockDiff(dts, s.dts); d > limit {
		s.dts = dts
		c.f.PCRErrors++
		c.note("PCR", p, "at byte %d (packet %d, PID 0x%04x): none on PID 0x%04x for %.1f s of timestamps", c.offset, number,
			pid, from, float64(d)/ClockRate)
	}
}

// timestampsStop takes a packet without a timestamp of an elementary stream.
func (c *Checker) timestampsStop(pid uint16, kind StreamType, p Packet, number int64) {
	if h := p.pesHeader(); h == nil || h[7]&0x80 != 0 {
		return // no PES packet begins, it cannot be read, or the timestamp is in the next packet
	}
	s := &c.clocks.stops
	s.none = true
	pcr, running := c.clocks.pcr[c.pcrPID()]
	if !running {
		return
	}
	since, follows := s.untimed[pid]
	if !follows {
		if s.untimed == nil {
			s.untimed = make(map[uint16]uint64)
		}
		s.untimed[pid] = pcr
		return
	}
	if d := ClockDiff(pcr, since); d > maxTimestampGap+kind.maxDelay() {
		s.untimed[pid] = pcr
		c.f.TimestampErrors++
		c.note("timestamp", p, "at byte %d (packet %d, PID 0x%04x): none for %.1f s of PCR", c.offset, number, pid,
			float64(d)/ClockRate)
	}
}
