package testserver

import (
	"math"
	"testing"
	"time"
)

func TestIntervals(t *testing.T) {
	var i intervals
	at := time.Now()
	i.add(at)
	if got := i.result(); got != (Intervals{}) {
		t.Errorf("one message: %+v", got)
	}
	// 1 ms to 100 ms, then one of 10 s and one beyond every range.
	for ms := range 100 {
		at = at.Add(time.Duration(ms+1) * time.Millisecond)
		i.add(at)
	}
	near := func(name string, got, want int64) {
		if got < want*99/100 || got > want*101/100 {
			t.Errorf("%s: %d, want %d within 1 %%", name, got, want)
		}
	}
	got := i.result()
	near("p50", got.P50, 50_000)
	near("p90", got.P90, 90_000)
	near("p99", got.P99, 99_000)
	if got.Max != 100_000 {
		t.Errorf("max %d, want exactly 100000", got.Max)
	}
	for _, d := range []time.Duration{10 * time.Second, 1000 * time.Hour} {
		at = at.Add(d)
		i.add(at)
	}
	got = i.result()
	near("p50 of more", got.P50, 51_000)
	if got.Max != (1000 * time.Hour).Microseconds() {
		t.Errorf("max %d", got.Max)
	}
}

// TestJitter: the jitter is how much closer or farther two PCRs arrive than their values say.
func TestJitter(t *testing.T) {
	const apart = 40 * time.Millisecond
	var j pcrJitter
	if got := j.result(); got != (Intervals{}) {
		t.Errorf("none: %+v", got)
	}
	at := time.Now()
	come := func(after, says time.Duration, follows bool) {
		at = at.Add(after)
		j.now = at
		j.pcr(0x100, says, follows)
		j.pcr(0x200, says, follows) // each PID by itself
	}
	come(0, 0, false)
	for range 1000 {
		come(apart+100*time.Microsecond, apart, true)
	}
	come(time.Hour, 0, false)                      // after a gap
	come(apart, -apart, true)                      // back: an error of the stream's
	come(apart+7*time.Millisecond, apart, true)    // late
	come(apart-20*time.Millisecond, 2*apart, true) // early
	got := j.result()
	if got.P50 < 99 || got.P50 > 101 || got.P99 != got.P50 || got.P999 < 6900 || got.P999 > 7100 || got.Max != 60_000 {
		t.Errorf("%+v", got)
	}
}

func TestSizes(t *testing.T) {
	var s sizes
	for n := range int64(10_000) {
		s.add(n + 1)
	}
	got := s.result()
	for _, f := range []struct{ got, want int64 }{{got.P50, 5000}, {got.P90, 9000}, {got.P99, 9900}, {got.P999, 9990}} {
		if f.got < f.want*99/100 || f.got > f.want*101/100 {
			t.Errorf("%d, want %d within 1 %%", f.got, f.want)
		}
	}
	if got.Min != 1 || got.Max != 10_000 {
		t.Errorf("%+v", got)
	}
}

// TestHistogramMemory: the intervals of a camera, with a pause, need little memory.
func TestHistogramMemory(t *testing.T) {
	var h histogram
	for us := int64(39_000); us < 41_000; us++ {
		h.add(us)
	}
	h.add(maxValue + 1)
	h.add(-1)
	used := 0
	for _, counts := range h.counts {
		if counts != nil {
			used++
		}
	}
	if used != 3 {
		t.Errorf("%d octaves are in use", used)
	}
	h.counts[0][0] = math.MaxUint32
	h.add(0)
	if h.counts[0][0] != math.MaxUint32 {
		t.Error("a count has run over")
	}
}

// TestHistogram: every value is reported within 1 %.
func TestHistogram(t *testing.T) {
	for value := int64(0); value <= maxValue; value += 1 + value/50 {
		var h histogram
		h.add(value)
		if got := h.percentiles(maxValue)(50); got < value*99/100 || got > value*101/100 {
			t.Fatalf("%d is reported as %d", value, got)
		}
	}
}
