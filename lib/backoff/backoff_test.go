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
