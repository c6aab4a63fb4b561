package testserver

import (
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
