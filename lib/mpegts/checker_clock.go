package mpegts

import (
	"slices"
	"time"
)

const (
	// maxDelay is the longest time from decoding to presentation (ISO/IEC 13818-1, 2.4.2.6), maxDelayMPEG2 that of
	// MPEG-1 and MPEG-2 video.
	maxDelay      = 10 * ClockRate
	maxDelayMPEG2 = ClockRate
	// DefaultPCRInterval is the longest time between two PCRs (ISO/IEC 13818-1, 2.7.2).
	DefaultPCRInterval = 100 * time.Millisecond
	// DefaultTimestampInterval is the longest time between the timestamps of one elementary stream (ISO/IEC 13818-1,
	// 2.7.4).
	DefaultTimestampInterval = 700 * time.Millisecond
)

// clocks follows PTS, DTS and PCR. The first value of a PID, and the first after an announced gap, may be any.
type clocks struct {
	dts map[uint16]uint64 // the last of each audio and video PID
	pcr map[uint16]uint64 // the last of each PID
	// pcrExpected: a PMT names a PID for the PCR.
	pcrExpected bool
	stalled     stalledClocks
}

// forget allows the clocks of a PID to jump.
func (c *clocks) forget(pid uint16) {
	delete(c.dts, pid)
	delete(c.pcr, pid)
	c.stalled.reset()
}

// followTables forgets the clocks of the PIDs that have left the PMT: where they come back, they begin anew.
func (c *Checker) followTables() {
	tables, _ := c.scan.Tables()
	if tables == c.tables {
		return
	}
	if c.tables != nil {
		for _, s := range c.tables.Streams {
			if !tables.Carries(s.PID) {
				c.clocks.forget(s.PID)
			}
		}
		if tables.PCRPID != c.tables.PCRPID {
			c.clocks.stalled.reset()
		}
	}
	c.tables = tables
}

// checkClocks checks the timestamps in a packet.
func (c *Checker) checkClocks(pid uint16, p Packet, number int64) {
	if slices.Contains(c.awaitedPIDs, pid) {
		c.clocks.forget(pid) // the gap was announced on another PID
	}
	if pcr, ok := p.PCR(); ok {
		c.report.PCRs++
		before, follows := c.clocks.pcr[pid]
		ticks := ClockDiff(pcr, before)
		if follows {
			c.checkPCRInterval(pid, p, ticks, number)
		}
		if c.OnPCR != nil {
			c.OnPCR(pid, time.Duration(ticks)*time.Second/ClockRate, follows)
		}
		c.clocks.pcr[pid] = pcr
		if pid == c.pcrPID() {
			c.clocks.stalled.dtsSincePCR = false
		}
	}
	if !p.PayloadUnitStart() {
		return
	}
	kind := c.streamType(pid)
	if !kind.IsVideo() && !kind.IsAudio() {
		return // subtitles and data may be silent for as long as they like
	}
	dts, ok := p.DTS()
	if !ok {
		c.checkTimestampsStalled(pid, kind, p, number)
		return
	}
	c.clocks.stalled.timestampsSeen = true
	delete(c.clocks.stalled.noTimestampSince, pid)
	if before, ok := c.clocks.dts[pid]; ok {
		// DTS, since the PTS of a stream with B-frames goes back and forth.
		if d := ClockDiff(dts, before); d < 0 || d > Ticks(c.MaxTimestampInterval) {
			c.clocks.stalled.reset()
			c.report.TimestampErrors++
			c.record(timestampProblem, p, "at byte %d (packet %d, PID 0x%04x): jumps by %.3f s; the limit is %v",
				c.offset, number, pid, float64(d)/ClockRate, c.MaxTimestampInterval)
		}
	}
	c.clocks.dts[pid] = dts
	c.checkPCRStalled(pid, kind, dts, p, number)
	limit := kind.maxDelay()
	pts, _ := p.PTS()
	if d := ClockDiff(pts, dts); d < 0 || d > limit {
		c.report.TimestampErrors++
		c.record(timestampProblem, p,
			"at byte %d (packet %d, PID 0x%04x): the PTS is %.3f s after the DTS; the limit is %d s",
			c.offset, number, pid, float64(d)/ClockRate, limit/ClockRate)
	}
}

// checkPCRInterval checks the time from one PCR to the next, in units of 1/ClockRate s.
func (c *Checker) checkPCRInterval(pid uint16, p Packet, ticks, number int64) {
	c.report.PCRIntervalMax = max(c.report.PCRIntervalMax, float64(ticks*1000)/ClockRate)
	// PCR bases are rounded down: two of them may be one tick farther apart than the clock was.
	if ticks < 0 || ticks > Ticks(c.MaxPCRInterval)+1 {
		c.clocks.stalled.reset()
		c.report.PCRErrors++
		c.record(pcrProblem, p, "at byte %d (packet %d, PID 0x%04x): %.1f ms after the one before; the limit is %v",
			c.offset, number, pid, float64(ticks)*1000/ClockRate, c.MaxPCRInterval)
	}
}

// streamType returns the stream type that the PMT names for the PID.
func (c *Checker) streamType(pid uint16) StreamType {
	if tables, _ := c.scan.Tables(); tables != nil {
		for _, s := range tables.Streams {
			if s.PID == pid {
				return s.Type
			}
		}
	}
	return streamUnknown
}

// maxDelay is the longest time from decoding to presentation of such a stream.
func (t StreamType) maxDelay() int64 {
	if t == StreamMPEG1Video || t == StreamMPEG2Video {
		return maxDelayMPEG2
	}
	return maxDelay
}
