package push

import (
	"fmt"
	"testing"

	"github.com/timdrysdale/vw/lib/stream"
)

// TestDropReporter: a link is called slow for what was dropped for age or want of room, not for what a lost connection
// has cost.
func TestDropReporter(t *testing.T) {
	var reported []int64
	s := dropReporter{report: func(dropped, _ int64) { reported = append(reported, dropped) }}
	for _, d := range []stream.Dropped{
		{Age: 100},                                   // of the outage before
		{Age: 100, Resync: 10, Lost: 10},             // of the reconnection
		{Age: 130, Full: 1, Resync: 10, Lost: 10},    // slow
		{Age: 130, Full: 1, Resync: 10, Lost: 10},    // no longer
		{Age: 130, Full: 3, Resync: 999, Lost: 9999}, // slow
	} {
		s.sample(stream.Counts{Dropped: d})
	}
	if got := fmt.Sprint(reported); got != "[31 2]" {
		t.Errorf("reported %s", got)
	}
}
