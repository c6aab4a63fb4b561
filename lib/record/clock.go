package record

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// clock measures the length of a stream by its own timestamps: by the DTS of the video, by the PCR while there is no
// video, by the time of arrival while there is neither. It never goes back. Where the timestamps jump, at a splice or a
// restart of the encoder, it advances by the time that passed on arrival.
type clock struct {
	elapsed int64     // in units of 1/90000 s, because few frame rates divide a second into whole nanoseconds
	last    uint64    // the most recent timestamp
	at      time.Time // when last arrived; when idle, when anything last arrived
	source  source
	from    source // where last came from
	jumped  bool   // the timestamps have jumped since this was last cleared
	idle    bool   // goes by the time of arrival
	frame   int64  // how long the last complete frame lasted
}

// source is a kind of timestamp. A higher one is preferred.
type source uint8

const (
	noSource source = iota
	fromPCR
	fromFrames
)

const (
	// longestStep is the largest step between timestamps that is not a jump, in units of 1/90000 s.
	longestStep = 60 * mpegts.ClockRate
	// clockTimeout is how long the clock waits for a timestamp before it goes by the time of arrival.
	clockTimeout = 5 * time.Second
)

// arrive is called for all input, before stamp. Raw streams have no timestamps to wait for.
func (c *clock) arrive(at time.Time, raw bool) {
	if c.at.IsZero() {
		c.at = at
	}
	passed := at.Sub(c.at)
	if !raw && !c.idle && passed <= clockTimeout {
		return
	}
	c.idle, c.source = true, noSource
	c.pass(at)
}

// stamp advances the clock to a timestamp.
func (c *clock) stamp(s source, stamp uint64, at time.Time) {
	if s < c.source {
		return
	}
	step := mpegts.ClockDiff(stamp, c.last)
	c.jumped = c.jumped || c.from == s && (step < 0 || step > longestStep)
	switch {
	case c.source == noSource && !c.idle: // the very first one
	case c.source != s || step < 0 || step > longestStep:
		c.pass(at)
	default:
		c.elapsed += step
		if s == fromFrames {
			c.frame = step
		}
	}
	c.last, c.at, c.source, c.from, c.idle = stamp, at, s, s, false
}

// pass advances the clock to the time of arrival at. It keeps fractions of a unit for the next call.
func (c *clock) pass(at time.Time) {
	units := max(mpegts.Ticks(at.Sub(c.at)), 0)
	c.elapsed += units
	c.at = c.at.Add(time.Duration(units) * time.Second / mpegts.ClockRate)
}

// limitTicks returns d in units of 1/90000 s, rounded up.
func limitTicks(d time.Duration) int64 {
	n := mpegts.Ticks(d)
	if time.Duration(n/mpegts.ClockRate)*time.Second+
		time.Duration(n%mpegts.ClockRate)*time.Second/mpegts.ClockRate < d {
		n++
	}
	return n
}
