package testserver

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ranges are the largest values that histograms of growing size (9, 18 and 27 KiB) tell apart; as µs 65 ms, 17 s and 72
// minutes, as bytes 64 KiB, 16 MiB and 4 GiB.
var ranges = [...]int64{1<<16 - 1, 1<<24 - 1, 1<<32 - 1}

// intervals measures the time between messages in bounded memory.
type intervals struct {
	first, last time.Time
	max         time.Duration
	us          histogram
}

// histogram counts values in memory that grows with the largest of them.
type histogram struct {
	*hdrhistogram.Histogram     // nil before the first value
	size                    int // the next one's index in ranges
}

// add takes the arrival of the next message, and reports whether the interval before it is the longest so far.
func (i *intervals) add(at time.Time) (longest bool) {
	if i.last.IsZero() {
		i.first, i.last = at, at
		return false
	}
	d := at.Sub(i.last)
	i.last = at
	longest = d > i.max
	i.max = max(i.max, d)
	i.us.add(d.Microseconds())
	return longest
}

func (h *histogram) add(value int64) {
	value = min(value, ranges[len(ranges)-1])
	for h.Histogram == nil || value > h.HighestTrackableValue() {
		h.grow()
	}
	_ = h.RecordValue(value) // it refuses only what is out of its range
}

func (h *histogram) grow() {
	const digits = 2
	bigger := hdrhistogram.New(1, ranges[h.size], digits)
	h.size++
	if h.Histogram != nil {
		bigger.Merge(h.Histogram)
	}
	h.Histogram = bigger
}

// at is the value that so many percent of all do not exceed.
func (h *histogram) at(percent float64, most int64) int64 {
	if h.Histogram == nil {
		return 0
	}
	return min(h.ValueAtQuantile(percent), most)
}

func (i *intervals) result() Intervals { return i.us.intervals(i.max) }

// intervals are the histogram's figures, when its values are µs up to the longest time.
func (h *histogram) intervals(max time.Duration) Intervals {
	longest := max.Microseconds()
	at := func(percent float64) int64 { return h.at(percent, longest) }
	return Intervals{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: longest}
}

// bitRate is that of so many bytes over the time from the first message to the last, 0 when that is none.
func (i *intervals) bitRate(bytes int64) int64 {
	d := i.last.Sub(i.first).Seconds()
	if d <= 0 {
		return 0
	}
	return int64(float64(8*bytes) / d)
}

// sizes measures the messages' lengths.
type sizes struct {
	min, max int64
	bytes    histogram
}

func (s *sizes) add(n int64) {
	if s.bytes.Histogram == nil || n < s.min {
		s.min = n
	}
	s.max = max(s.max, n)
	s.bytes.add(n)
}

func (s *sizes) result() Sizes {
	at := func(percent float64) int64 { return s.bytes.at(percent, s.max) }
	return Sizes{Min: s.min, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: s.max}
}
