package backoff

import (
	"testing"
	"time"
)

// between fails the test unless low <= d <= high.
func between(t *testing.T, what string, d, low, high time.Duration) {
	t.Helper()
	if d < low || d > high {
		t.Errorf("%s: %v, want %v to %v", what, d, low, high)
	}
}

func TestPausesGrowBetweenTheirBounds(t *testing.T) {
	const shortest, longest = 100 * time.Millisecond, time.Second
	b := New(shortest, longest)
	most := time.Duration(0)
	for range 50 {
		d := b.Next()
		between(t, "pause", d, shortest, longest)
		most = max(most, d)
	}
	between(t, "the longest of 50 pauses", most, longest/2, longest)

	b.Lasted(time.Second)
	if b.ceiling != longest {
		t.Error("a connection of a second makes the next dial prompt")
	}
	b.Lasted(time.Minute)
	between(t, "after a stable connection", b.Next(), shortest, 2*shortest)
	between(t, "slow", b.NextSlow(), longest/2, longest)
}

func TestFirstPausesDiffer(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 10 {
		seen[New(100*time.Millisecond, time.Second).Next()] = true
	}
	if len(seen) < 5 {
		t.Errorf("the first pauses of ten clients are %v", seen)
	}
}

func TestOneLengthOfPause(t *testing.T) {
	b := New(time.Second, time.Millisecond)
	between(t, "pause", b.Next(), time.Second, time.Second)
	between(t, "slow", b.NextSlow(), time.Second, time.Second)
}

// TestClientsSpread: a thousand clients lose their server at the same moment, and it is away for a minute. After a few
// seconds their dials are spread over time, and they are few.
func TestClientsSpread(t *testing.T) {
	const (
		clients = 1000
		slot    = 100 * time.Millisecond
	)
	slots := make([]int, time.Minute/slot)
	all := 0
	for range clients {
		b := New(250*time.Millisecond, 30*time.Second)
		for at := b.Next(); at < time.Minute; at += b.Next() {
			slots[at/slot]++
			all++
		}
	}
	for i, dials := range slots {
		if at := time.Duration(i) * slot; at > 5*time.Second && dials > clients/10 {
			t.Errorf("%d of %d clients dial within %v, %v after the loss", dials, clients, slot, at)
		}
	}
	if all > 15*clients {
		t.Errorf("%d dials of %d clients in a minute", all, clients)
	}
}
