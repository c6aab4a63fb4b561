package mpegts

// stalledClocks finds a clock that has stopped by the one that goes on. PCR and timestamps advance together, and
// differ by no more than the time for which a decoder may hold its input. After a jump of either, and after an
// announced gap, the comparison begins anew.
type stalledClocks struct {
	// firstDTS is the first DTS after the last PCR, if dtsSincePCR.
	firstDTS    uint64
	dtsSincePCR bool
	// noTimestampSince is, by PID, the PCR at the first of the PES packets without a timestamp that came last.
	noTimestampSince map[uint16]uint64
	// timestampsSeen: PES packets with a timestamp have come. missingSeen: PES packets without have come.
	timestampsSeen, missingSeen bool
}

// reset begins the comparison anew.
func (s *stalledClocks) reset() {
	s.dtsSincePCR = false
	clear(s.noTimestampSince)
}

// pcrPID returns the PID of the program's PCR; PIDNull when there is none.
func (c *Checker) pcrPID() uint16 {
	if tables, _ := c.scan.Tables(); tables != nil {
		return tables.PCRPID
	}
	return PIDNull
}

// checkPCRStalled takes a DTS, and finds a PCR that has stopped. A PCR on an elementary PID is compared with that
// PID's own DTS only, because that stream may end before the others.
func (c *Checker) checkPCRStalled(pid uint16, kind StreamType, dts uint64, p Packet, number int64) {
	s := &c.clocks.stalled
	from := c.pcrPID()
	tables, _ := c.scan.Tables()
	_, running := c.clocks.pcr[from]
	if !running || pid != from && (tables.Carries(from) || !kind.IsVideo()) {
		return
	}
	if !s.dtsSincePCR {
		s.firstDTS, s.dtsSincePCR = dts, true
		return
	}
	limit := Ticks(c.MaxPCRInterval) + kind.maxDelay()
	if d := ClockDiff(dts, s.firstDTS); d > limit {
		s.firstDTS = dts
		c.report.PCRErrors++
		c.record(pcrProblem, p, "at byte %d (packet %d, PID 0x%04x): none on PID 0x%04x for %.1f s of timestamps",
			c.offset, number, pid, from, float64(d)/ClockRate)
	}
}

// checkTimestampsStalled takes a packet of audio or video without a timestamp, and finds timestamps that have
// stopped.
func (c *Checker) checkTimestampsStalled(pid uint16, kind StreamType, p Packet, number int64) {
	if h := p.pesHeader(); h == nil || h[7]&0x80 != 0 {
		return // no PES packet begins, it cannot be read, or the timestamp is in the next packet
	}
	s := &c.clocks.stalled
	s.missingSeen = true
	pcr, running := c.clocks.pcr[c.pcrPID()]
	if !running {
		return
	}
	since, follows := s.noTimestampSince[pid]
	if !follows {
		if s.noTimestampSince == nil {
			s.noTimestampSince = make(map[uint16]uint64)
		}
		s.noTimestampSince[pid] = pcr
		return
	}
	if d := ClockDiff(pcr, since); d > Ticks(c.MaxTimestampInterval)+kind.maxDelay() {
		s.noTimestampSince[pid] = pcr
		c.report.TimestampErrors++
		c.record(timestampProblem, p, "at byte %d (packet %d, PID 0x%04x): none for %.1f s of PCR",
			c.offset, number, pid, float64(d)/ClockRate)
	}
}
