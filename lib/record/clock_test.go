package record

import (
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

func TestClock(t *testing.T) {
	const s = mpegts.ClockRate
	const none = ^uint64(0)
	start := time.Now()
	type event struct {
		at     time.Duration // of arrival
		source source
		stamp  uint64
		want   int64
	}
	for _, tc := range []struct {
		name   string
		raw    bool
		events []event
	}{
		{"frames, whenever they arrive", false, []event{{0, fromFrames, 1000, 0}, {0, fromFrames, 1000 + s, s},
			{time.Minute, fromFrames, 1000 + 3*s, 3*s + 60*s - 2*s - 0}}},
		{"a first stamp that is late", false, []event{{0, noSource, none, 0}, {time.Second, fromFrames, 7, 0},
			{time.Second, fromFrames, 7 + s, s}}},
		{"over the wrap", false, []event{{0, fromFrames, mpegts.ClockModulus - s, 0}, {0, fromFrames, s, 2 * s}}},
		{"back", false, []event{{0, fromFrames, 100 * s, 0}, {time.Second, fromFrames, 0, s},
			{time.Second, fromFrames, s, 2 * s}}},
		{"far ahead", false, []event{{0, fromFrames, 0, 0}, {time.Second, fromFrames, 1000 * s, s},
			{time.Second, fromFrames, 1001 * s, 2 * s}}},
		{"PCR until frames come", false, []event{{0, fromPCR, 0, 0}, {0, fromPCR, s, s}, {time.Second, fromFrames,
			50 * s, 2 * s}, {time.Second, fromPCR, 90 * s, 2 * s}, {time.Second, fromFrames, 51 * s, 3 * s}}},
		{"no stamps", false, []event{{0, noSource, none, 0}, {4 * time.Second, noSource, none, 0},
			{6 * time.Second, noSource, none, 6 * s}, {7 * time.Second, noSource, none, 7 * s}}},
		{"stamps that stop and return", false, []event{{0, fromFrames, 0, 0}, {3 * time.Second, noSource, none, 0},
			{6 * time.Second, noSource, none, 6 * s}, {8 * time.Second, fromFrames, s, 8 * s},
			{8 * time.Second, fromFrames, 2 * s, 9 * s}}},
		{"raw", true, []event{{0, noSource, none, 0}, {time.Second, noSource, none, s},
			{3 * time.Second, noSource, none, 3 * s}}},
		{"a wall clock without a monotonic one goes back", true,
			[]event{{time.Second, noSource, none, 0}, {0, noSource, none, 0}}},
	} {
		var c clock
		for i, e := range tc.events {
			at := start.Add(e.at)
			c.arrive(at, tc.raw)
			if e.stamp != none {
				c.stamp(e.source, e.stamp, at)
			}
			if c.elapsed != e.want {
				t.Errorf("%s: after event %d: %d, want %d", tc.name, i, c.elapsed, e.want)
			}
		}
	}
}

// TestClockLosesNothing: fractions of a unit add up.
func TestClockLosesNothing(t *testing.T) {
	var c clock
	start := time.Now()
	for i := range 100000 {
		c.arrive(start.Add(time.Duration(i)*100*time.Microsecond), true)
	}
	if want := mpegts.Ticks(10 * time.Second); c.elapsed < want-10 || c.elapsed > want {
		t.Errorf("%d, want %d", c.elapsed, want)
	}
}

func TestLimitTicks(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want int64
	}{{0, 0}, {1, 1}, {time.Second, 90000}, {40 * time.Millisecond, 3600}, {time.Second / 3, 30000},
		{time.Second + 1, 90001}, {1000 * time.Hour, 324000000000}} {
		if got := limitTicks(tc.d); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.d, got, tc.want)
		}
	}
}

// TestPTSRange: the range goes by presentation time, across reordering, a wrap and a jump.
func TestPTSRange(t *testing.T) {
	const top = mpegts.ClockModulus
	for _, tc := range []struct {
		stamps     []uint64
		start, end uint64
	}{
		{[]uint64{100}, 100, 100},
		{[]uint64{10800, 3600, 7200, 21600, 14400}, 3600, 21600},
		{[]uint64{top - 3600, 0, 3600}, top - 3600, 3600},
		{[]uint64{3600, top - 3600, 7200}, top - 3600, 7200},
		{[]uint64{1 << 32, 1<<32 + 3600, 500, 4100, 100}, 1 << 32, 1<<32 + 3600},
	} {
		var y stats
		for _, s := range tc.stamps {
			y.addPTS(s)
		}
		start, end := y.ptsRange()
		if *start != tc.start || *end != tc.end {
			t.Errorf("%v: %d to %d", tc.stamps, *start, *end)
		}
	}
	var y stats
	if start, end := y.ptsRange(); start != nil || end != nil {
		t.Error("a range of nothing")
	}
}
