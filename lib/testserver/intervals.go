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

// intervals returns the histogram's percentiles if its values are in µs; max is the largest.
func (h *histogram) intervals(max time.Duration) Intervals {
	longest := max.Microseconds()
	p := h.percentiles(longest)
	return Intervals{P50: p(50), P90: p(90), P99: p(99), P999: p(99.9), Max: longest}
}

// bitRate is that of so many bytes from the first message to the last, in bits a second; 0 if that took no time.
func (i *intervals) bitRate(bytes int64) int64 {
	d := i.last.Sub(i.first).Seconds()
	if d <= 0 {
		return 0
	}
	return int64(float64(8*bytes) / d)
}

// sizes measures the lengths of messages.
type sizes struct {
	any      bool // there was a message
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
	p := s.bytes.percentiles(s.max)
	return Sizes{Min: s.min, P50: p(50), P90: p(90), P99: p(99), P999: p(99.9), Max: s.max}
}
