package record

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// clock measures how long a stream is by its own timestamps: the decoding times of the video's frames; the PCR while
// there are none; the time of arrival while there is neither. It never goes back, and a jump of the timestamps, at a
// splice or where an encoder began anew, counts as the time that passed on arrival.
type clock struct {
	elapsed int64     // in units of 1/90000 s, because a frame's duration is seldom a whole number of nanoseconds
	last    uint64    // the timestamp last seen
	at      time.Time // when it arrived; or in idle, when anything did
	source  source
	from    source // where the last timestamp came from
	jumped  bool   // the timestamps do not follow each other, somewhere since this was last reset
	idle    bool   // by time of arrival
	frame   int64  // how long the last frame but one lasted
}

// source is where the timestamps come from: the highest that the stream has.
type source uint8

const (
	noSource source = iota
	fromPCR
	fromFrames
)

const (
	// longestStep is the longest time from one timestamp to the next that is not a jump, in units of 1/90000 s.
	longestStep = 60 * mpegts.ClockRate
	// clockPatience is how long timestamps may stay away before the time of arrival is taken.
	clockPatience = 5 * time.Second
)

// arrive tells the clock that something came in. Raw streams have no timestamps to wait for.
func (c *clock) arrive(at time.Time, raw bool) {
	if c.at.IsZero() {
		c.at = at
	}
	passed := at.Sub(c.at)
	if !raw && !c.idle && passed <= clockPatience {
		return
	}
	c.idle, c.source = true, noSource
	c.pass(at)
}

// stamp tells the clock a timestamp, which arrived after arrive was told of it.
func (c *clock) stamp(s source, stamp uint64, at time.Time) {
	if s < c.source {
		return
	}
	step := mpegts.ClockDiff(stamp, c.last)
	c.jumped = c.jumped || c.from == s && (step < 0 || step > longestStep)
	switch {
	case c.source == noSource && !c.idle: // the first of all
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

// pass lets the time pass up to at. What is less than a unit is left for the next time.
func (c *clock) pass(at time.Time) {
	units := max(ticks(at.Sub(c.at)), 0)
	c.elapsed += units
	c.at = c.at.Add(time.Duration(units) * time.Second / mpegts.ClockRate)
}

// ticks is d in whole units of 1/90000 s.
func ticks(d time.Duration) int64 {
	const rate = mpegts.ClockRate
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}

// limitTicks is the first time, in units of 1/90000 s, that is not before d.
func limitTicks(d time.Duration) int64 {
	n := ticks(d)
	if time.Duration(n/mpegts.ClockRate)*time.Second+time.Duration(n%mpegts.ClockRate)*time.Second/mpegts.ClockRate < d {
		n++
	}
	return n
}
