package push

import (
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

func TestConfirmClock(t *testing.T) {
	type sample struct {
		at        int // seconds
		counts    stream.Counts
		connected bool
		want      int
	}
	held := func(n int64) stream.Counts { return stream.Counts{Held: n} }
	confirmed := func(n, unconfirmed int64) stream.Counts {
		return stream.Counts{Confirmed: n, Unconfirmed: unconfirmed}
	}
	dropped := func(d stream.Dropped) stream.Counts { return stream.Counts{Dropped: d} }
	for name, samples := range map[string][]sample{
		"nothing to deliver":  {{0, held(0), false, 0}, {100, held(0), false, 0}, {200, held(0), true, 0}},
		"held from the start": {{0, held(9), false, 0}, {5, held(99), false, 5}, {9, held(99), true, 9}},
		"something begins to wait": {{0, held(0), false, 0}, {50, held(0), false, 0}, {60, held(1), false, 10},
			{70, held(1), false, 20}},
		"a byte is confirmed": {{0, held(9), false, 0}, {5, confirmed(1, 8), true, 0}, {9, confirmed(1, 8), true, 4}},
		"the connection breaks, and breaks": {{0, confirmed(5, 1), true, 0}, {3, confirmed(5, 9), false, 3},
			{6, confirmed(5, 1), true, 6},
			{9, confirmed(5, 9), false, 9}},
		"live, and the queue is empty in between": {{0, held(9), false, 0}, {4, dropped(stream.Dropped{Age: 9}), false,
			4},
			{8, dropped(stream.Dropped{Age: 9, Lost: 3}), false, 8}},
		"live, idle, and connected again": {{0, held(9), false, 0}, {4, dropped(stream.Dropped{Lost: 9}), true, 0},
			{99, dropped(stream.Dropped{Lost: 9}), false, 0}},
		"only what is no stream is dropped": {{0, held(0), false, 0}, {9, dropped(stream.Dropped{Sync: 9, Resync: 9}),
			false, 0}},
	} {
		var k confirmClock
		for _, s := range samples {
			now := time.Unix(1e9+int64(s.at), 0)
			if got := k.sample(now, s.counts, s.connected); got != time.Duration(s.want)*time.Second {
				t.Errorf("%s, after %d s: %v, want %d s", name, s.at, got, s.want)
			}
		}
	}
}
