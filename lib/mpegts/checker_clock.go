package mpegts

import (
	"slices"
	"time"
)

const (
	// maxTimestampGap is the longest time between the timestamps of one elementary stream (ISO/IEC 13818-1, 2.7.4).
	maxTimestampGap = 7 * ClockRate / 10
	// DefaultPCRInterval is the longest time between two PCRs (ISO/IEC 13818-1, 2.7.2).
	DefaultPCRInterval = 100 * time.Millisecond
)

// clocks follows the PTS, DTS and PCR of a stream. Before a PID's first and behind an announced gap, any value is right.
type clocks struct {
	last map[uint16]uint64 // DTS by PID, of audio and video
	pcr  map[uint16]uint64 // PCR by PID
	// named: a PMT says on which PID the PCR is.
	named bool
}

// forget says that the clocks of a PID may jump.
func (c *clocks) forget(pid uint16) {
	delete(c.last, pid)
	delete(c.pcr, pid)
}

// clock checks the timestamps in a packet.
func (c *Checker) clock(pid uint16, p Packet, number int64) {
	if slices.Contains(c.missing, pid) {
		c.clocks.forget(pid) // the gap has been announced on another PID
	}
	if pcr, ok := p.PCR(); ok {
		c.f.PCRs++
		if before, ok := c.clocks.pcr[pid]; ok {
			c.pcrInterval(pid, p, ClockDiff(pcr, before), number)
		}
		c.clocks.pcr[pid] = pcr
	}
	dts, ok := p.DTS()
	if !ok || !c.isAudioOrVideo(pid) {
		return
	}
	if before, ok := c.clocks.last[pid]; ok {
		// DTS, since the PTS of a stream with B-frames goes back and forth.
		if d := ClockDiff(dts, before); d < 0 || d > maxTimestampGap {
			c.f.TimestampErrors++
			c.note("timestamp", p, "at byte %d (packet %d, PID 0x%04x): jumps by %.3f s; it is to advance by 0.7 s at most",
				c.offset, number, pid, float64(d)/ClockRate)
		}
	}
	c.clocks.last[pid] = dts
}

func (c *Checker) pcrInterval(pid uint16, p Packet, ticks, number int64) {
	c.f.PCRIntervalMax = max(c.f.PCRIntervalMax, float64(ticks*1000)/ClockRate)
	// The base is cut to whole ticks: two of them may be one tick farther apart than what they count.
	if limit := int64(c.MaxPCRInterval) * ClockRate / int64(time.Second); ticks < 0 || ticks > limit+1 {
		c.f.PCRErrors++
		c.note("PCR", p, "at byte %d (packet %d, PID 0x%04x): %.1f ms after the one before; the limit is %v",
			c.offset, number, pid, float64(ticks)*1000/ClockRate, c.MaxPCRInterval)
	}
}

// isAudioOrVideo reports whether the PID is a stream whose timestamps have to advance; subtitles and data may be silent
// for as long as they like.
func (c *Checker) isAudioOrVideo(pid uint16) bool {
	tables, _ := c.scan.Tables()
	if tables == nil {
		return false
	}
	for _, s := range tables.Streams {
		if s.PID == pid {
			return s.Type.IsVideo() || s.Type.isAudio()
		}
	}
	return false
}

// isAudio reports whether the stream type is an audio codec's.
func (t StreamType) isAudio() bool {
	switch t {
	case 0x03, 0x04, 0x0F, 0x11, 0x1C, 0x2D, 0x2E, 0x81, 0x87:
		return true
	}
	return false
}
