package cli

import (
	"os"
	"runtime/debug"
	"time"
)

const (
	releaseInterval = 3 * time.Second
	// minCrowd is how many connections leave so much behind that memory is released while others send. It costs about
	// ten milliseconds of CPU, as much as a stream does in three seconds.
	minCrowd = 16
	// silentIntervals is how many intervals without a byte are silence, and no camera that sends a picture a second.
	silentIntervals = 2
	// gcPercent replaces Go's 100 for a server: TLS handshakes leave more garbage than their connections need memory,
	// and messages next to none.
	gcPercent = 50
)

// Activity counts the work of a server, for a MemoryReleaser.
type Activity struct {
	Open        int   // connections that are open now
	Connections int   // all so far
	Bytes       int64 // received so far
}

// MemoryReleaser returns free memory to the system when a server has time for it. Go collects garbage only when memory
// is requested: without a releaser, what a thousand handshakes left behind stays as long as their connections are
// silent.
type MemoryReleaser struct {
	activity func() Activity
	release  func()
	stop     chan struct{}
	done     chan struct{}

	last     Activity // an interval ago
	silent   int      // how many intervals nothing has come
	released Activity // when memory was last released
}

// StartMemoryReleaser starts a releaser, which calls activity every few seconds until Close. It also lets less garbage
// accumulate, unless the user has set GOGC.
func StartMemoryReleaser(activity func() Activity) *MemoryReleaser {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	r := &MemoryReleaser{activity: activity, release: debug.FreeOSMemory, stop: make(chan struct{}),
		done: make(chan struct{})}
	go r.run()
	return r
}

// Close ends the releaser.
func (r *MemoryReleaser) Close() {
	close(r.stop)
	<-r.done
}

func (r *MemoryReleaser) run() {
	defer close(r.done)
	ticker := time.NewTicker(releaseInterval)
	defer ticker.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			if r.isDue(r.activity()) {
				r.release()
			}
		}
	}
}

// isDue is called once an interval. Connections come in crowds, and their first messages soon after: after a crowd,
// memory is released once even if others are sending. Otherwise it is released when nothing comes.
func (r *MemoryReleaser) isDue(now Activity) bool {
	more := now.Connections != r.last.Connections
	r.silent++
	if more || now.Bytes != r.last.Bytes {
		r.silent = 0
	}
	r.last = now
	crowd := now.Connections-r.released.Connections >= minCrowd
	if more || now == r.released || !crowd && r.silent < silentIntervals {
		return false
	}
	r.released = now
	return true
}
