package push

import (
	"fmt"
	"testing"

	"github.com/timdrysdale/vw/lib/stream"
)

// TestDropReporter: a link is called slow for what it had no time for, not for what a lost connection has cost.
func TestDropReporter(t *testing.T) {
	var told []int64
	s := dropReporter{report: func(dropped, _ int64) { told = append(told, dropped) }}
	for _, d := range []stream.Dropped{
		{Age: 100},                                   // of the outage before
		{Age: 100, Resync: 10, Lost: 10},             // of the reconnection
		{Age: 130, Full: 1, Resync: 10, Lost: 10},    // slow
		{Age: 130, Full: 1, Resync: 10, Lost: 10},    // not any more
		{Age: 130, Full: 3, Resync: 999, Lost: 9999}, // slow
	} {
		s.sample(stream.Counts{Dropped: d})
	}
	if got := fmt.Sprint(told); got != "[31 2]" {
		t.Errorf("what was told is %s", got)
	}
}
