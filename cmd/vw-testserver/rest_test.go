package main

import (
	"testing"

	"github.com/timdrysdale/vw/lib/testserver"
)

func TestRest(t *testing.T) {
	var r rest
	for i, now := range []struct {
		open, connections int
		bytes             int64
		due               bool
	}{
		{0, 0, 0, false},      // nothing has come yet
		{500, 500, 9, false},  // a crowd comes
		{900, 900, 99, false}, // and goes on
		{900, 900, 100, true}, // it is over, though one of them sends
		{900, 900, 101, false},
		{900, 900, 101, true}, // now it does not
		{900, 900, 101, false},
		{899, 900, 101, true}, // one has ended
		{899, 900, 101, false},
	} {
		if due := r.due(testserver.Stats{Open: now.open, Connections: now.connections, Bytes: now.bytes}); due != now.due {
			t.Errorf("second %d: %v", i, due)
		}
	}
}
