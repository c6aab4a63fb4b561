package main

import (
	"os"
	"runtime/debug"
	"time"

	"github.com/timdrysdale/vw/lib/testserver"
)

const (
	// restAfter is how long nothing new must have come before memory is given back.
	restAfter = time.Second
	// garbage is how much of it, in percent of what is in use, may gather before it is collected: TLS handshakes leave
	// more behind than their connections need, and messages next to none.
	garbage = 50
)

// rest gives memory back to the system when there is time for it: Go collects when new memory is asked for, so what a
// thousand handshakes have left behind would stay for as long as their connections are silent.
type rest struct {
	last  testserver.Stats // a moment ago
	given testserver.Stats // when memory was last given back
}

// newRest also keeps down what gathers in the meantime, unless the user has said how much that may be.
func newRest() *rest {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	return new(rest)
}

// tick is called every restAfter. New connections come in crowds, and their messages behind them: behind a crowd memory
// is given back once though others may be sending, else only when nobody is.
func (r *rest) tick(now testserver.Stats) {
	if r.due(now) {
		debug.FreeOSMemory()
	}
}

func (r *rest) due(now testserver.Stats) bool {
	crowd := now.Connections != r.last.Connections
	silent := now.Bytes == r.last.Bytes
	r.last = now
	if crowd || now == r.given || !silent && now.Connections == r.given.Connections {
		return false
	}
	r.given = now
	return true
}
