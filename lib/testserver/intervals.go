package testserver

import "time"

// intervals measures the time between messages in bounded memory.
type intervals struct {
	first, last time.Time
	max         time.Duration
	us          histogram
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

func (i *intervals) result() Intervals { return i.us.intervals(i.max) }

// intervals are the histogram's figures, when its values are µs up to the longest time.
func (h *histogram) intervals(max time.Duration) Intervals {
	longest := max.Microseconds()
	at := h.percentiles(longest)
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
	any      bool // there has been a message
	min, max int64
	bytes    histogram
}

func (s *sizes) add(n int64) {
	if !s.any || n < s.min {
		s.min, s.any = n, true
	}
	s.max = max(s.max, n)
	s.bytes.add(n)
}

func (s *sizes) result() Sizes {
	at := s.bytes.percentiles(s.max)
	return Sizes{Min: s.min, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: s.max}
}
