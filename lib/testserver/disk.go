package testserver

import (
	"fmt"
	"time"
)

// Receiving never waits for the disk, which may hang for a while: what is to be written waits in memory. If too much of
// it waits, the server fails, because its files would not be what they should be.
const (
	// maxUnsaved is how many bytes may wait to be saved, of all connections.
	maxUnsaved = 64 << 20
	// maxArrivals is how many arrivals may wait to be written, of all connections. They need 20 MiB, as does the batch
	// that is being written.
	maxArrivals = 512 << 10
	// diskTimeout is how long the disk may make no progress when everything has come and the server is to end.
	diskTimeout = 10 * time.Second
)

// awaitDisk waits until done is closed. It gives up when progress does not change for the timeout: a write that hangs
// cannot be cancelled.
func awaitDisk(done <-chan struct{}, progress func() int64, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for last := progress(); ; {
		select {
		case <-done:
			return nil
		case <-timer.C:
			now := progress()
			if now == last {
				return fmt.Errorf("the disk has taken nothing for %v", timeout)
			}
			last = now
			timer.Reset(timeout)
		}
	}
}
