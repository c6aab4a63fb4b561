package push

import (
	"fmt"
	"testing"

	"github.com/timdrysdale/vw/lib/stream"
)

// TestSlowness: a link is called slow for what it had no time for, not for what a lost connection has cost.
func TestSlowness(t *testing.T) {
	l := new(logs)
	s := slowness{log: l, to: "x"}
	for _, d := range []stream.Dropped{
		{Age: 100},                                   // of the outage before
		{Age: 100, Resync: 10, Lost: 10},             // of the reconnection
		{Age: 130, Full: 1, Resync: 10, Lost: 10},    // slow
		{Age: 130, Full: 1, Resync: 10, Lost: 10},    // not any more
		{Age: 130, Full: 3, Resync: 999, Lost: 9999}, // slow
	} {
		s.look(stream.Counts{Dropped: d})
	}
	if got := fmt.Sprint(l.values("the link is slower than the stream", "dropped")); got != "[31 2]" {
		t.Errorf("what was told is %s", got)
	}
}
