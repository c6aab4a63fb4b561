package natspipe

import (
	"testing"
	"time"
)

// TestLookBack: what is missing is looked for ever farther back, and only after a time taken for lost.
func TestLookBack(t *testing.T) {
	var s Subscriber
	for _, want := range []uint64{pullMessages, 2 * pullMessages, 4 * pullMessages} {
		if err := s.lookBack(1); isFatal(err) || s.rewind != want {
			t.Errorf("%v, %d messages back, want %d", err, s.rewind, want)
		}
	}
	s.gapSince = time.Now().Add(-gapTimeout - time.Second)
	if err := s.lookBack(1); !isFatal(err) || Hint(err) == "" {
		t.Errorf("after %v: %v", gapTimeout, err)
	}
	if o := (&Subscriber{}); o.lookBack(1) == nil || o.rewind != pullMessages {
		t.Errorf("another gap: %d messages back", o.rewind)
	}
}
