package mpegts

import "time"

const (
	// maxClockBack and maxClockAhead are how far a DTS may be before the one before it, and after it beyond the time
	// that passed.
	maxClockBack  = 1 * ClockRate
	maxClockAhead = 10 * ClockRate
)

// clockState finds jumps of the stream's clock, by the DTS of the stream that is followed.
type clockState struct {
	dts   uint64
	at    time.Time // when it was received
	known bool
	gap   bool // a gap was announced after it
}

// check compares the DTS of a PES packet with that of the one before.
func (c *clockState) check(pes *pesState, s *Scanner) {
	if !pes.hasDTS {
		return
	}
	if c.known {
		ticks := ClockDiff(pes.dts, c.dts)
		passed := Ticks(s.ReceivedAt.Sub(c.at))
		if ticks < -maxClockBack || ticks > maxClockAhead+max(passed, 0) && !c.gap {
			s.change |= ClockJump
		}
	}
	c.dts, c.at, c.known, c.gap = pes.dts, s.ReceivedAt, true, false
}
