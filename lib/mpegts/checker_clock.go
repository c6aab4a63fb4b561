package mpegts

import (
	"slices"
	"time"
)

const (
	// maxTimestampGap is the longest time between the timestamps of one elementary stream (ISO/IEC 13818-1, 2.7.4).
	maxTimestampGap = 7 * ClockRate / 10
	// maxDelay is the longest time from decoding to presentation (ISO/IEC 13818-1, 2.4.2.6), maxDelayMPEG2 that of MPEG-1
	// and MPEG-2 video.
	maxDelay      = 10 * ClockRate
	maxDelayMPEG2 = ClockRate
	// DefaultPCRInterval is the longest time between two PCRs (ISO/IEC 13818-1, 2.7.2).
	DefaultPCRInterval = 100 * time.Millisecond
)

// clocks follows the PTS, DTS and PCR of a stream. Before a PID's first and behind an announced gap, any value is right.
type clocks struct {
	last map[uint16]uint64 // DTS by PID, of audio and video
	pcr  map[uint16]uint64 // PCR by PID
	// named: a PMT says on which PID the PCR is.
	named bool
	stops stops
}

// forget says that the clocks of a PID may jump.
func (c *clocks) forget(pid uint16) {
	delete(c.last, pid)
	delete(c.pcr, pid)
	c.stops.reset()
}

// clock checks the timestamps in a packet.
func (c *Checker) clock(pid uint16, p Packet, number int64) {
	if slices.Contains(c.missing, pid) {
		c.clocks.forget(pid) // the gap has been announced on another PID
	}
	if pcr, ok := p.PCR(); ok {
		c.f.PCRs++
		before, follows := c.clocks.pcr[pid]
		ticks := ClockDiff(pcr, before)
		if follows {
			c.pcrInterval(pid, p, ticks, number)
		}
		if c.OnPCR != nil {
			c.OnPCR(pid, time.Duration(ticks)*time.Second/ClockRate, follows)
		}
		c.clocks.pcr[pid] = pcr
		if pid == c.pcrPID() {
			c.clocks.stops.behindPCR = false
		}
	}
	if !p.PayloadUnitStart() {
		return
	}
	kind := c.streamType(pid)
	if !kind.IsVideo() && !kind.isAudio() {
		return // subtitles and data may be silent for as long as they like
	}
	dts, ok := p.DTS()
	if !ok {
		c.timestampsStop(pid, kind, p, number)
		return
	}
	c.clocks.stops.some = true
	delete(c.clocks.stops.untimed, pid)
	if before, ok := c.clocks.last[pid]; ok {
		// DTS, since the PTS of a stream with B-frames goes back and forth.
		if d := ClockDiff(dts, before); d < 0 || d > maxTimestampGap {
			c.clocks.stops.reset()
			c.f.TimestampErrors++
			c.note("timestamp", p, "at byte %d (packet %d, PID 0x%04x): jumps by %.3f s; it is to advance by 0.7 s at most",
				c.offset, number, pid, float64(d)/ClockRate)
		}
	}
	c.clocks.last[pid] = dts
	c.pcrStops(pid, kind, dts, p, number)
	limit := kind.maxDelay()
	pts, _ := p.PTS()
	if d := ClockDiff(pts, dts); d < 0 || d > limit {
		c.f.TimestampErrors++
		c.note("timestamp", p, "at byte %d (packet %d, PID 0x%04x): the PTS is %.3f s behind the DTS; the limit is %d s",
			c.offset, number, pid, float64(d)/ClockRate, limit/ClockRate)
	}
}

func (c *Checker) pcrInterval(pid uint16, p Packet, ticks, number int64) {
	c.f.PCRIntervalMax = max(c.f.PCRIntervalMax, float64(ticks*1000)/ClockRate)
	// The base is cut to whole ticks: two of them may be one tick farther apart than what they count.
	if limit := int64(c.MaxPCRInterval) * ClockRate / int64(time.Second); ticks < 0 || ticks > limit+1 {
		c.clocks.stops.reset()
		c.f.PCRErrors++
		c.note("PCR", p, "at byte %d (packet %d, PID 0x%04x): %.1f ms after the one before; the limit is %v",
			c.offset, number, pid, float64(ticks)*1000/ClockRate, c.MaxPCRInterval)
	}
}

// streamType is what the PMT says that the PID carries.
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

// isAudio reports whether the stream type is an audio codec's.
func (t StreamType) isAudio() bool {
	switch t {
	case 0x03, 0x04, 0x0F, 0x11, 0x1C, 0x2D, 0x2E, 0x81, 0x87:
		return true
	}
	return false
}

// maxDelay is the longest time from decoding to presentation of such a stream.
func (t StreamType) maxDelay() int64 {
	if t == StreamMPEG1Video || t == StreamMPEG2Video {
		return maxDelayMPEG2
	}
	return maxDelay
}
