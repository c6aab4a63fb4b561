package testserver

import (
	"fmt"
	"time"
)

// Nobody who sends waits for the disk, and the disk may stall for a while: what is to be written waits in memory, and
// when that is too much the server fails, since it does not do what it was told to.
const (
	// maxUnsaved is how many bytes wait to be saved, of all connections.
	maxUnsaved = 64 << 20
	// maxArrivals is how many arrivals wait to be written, of all connections, while as many are; 20 MiB each.
	maxArrivals = 512 << 10
	// diskPatience is how long a disk may take nothing when everything has come and the server is to end.
	diskPatience = 10 * time.Second
)

// awaitDisk waits until done is closed, and gives up when nothing moves any more: a write that hangs cannot be ended.
func awaitDisk(done <-chan struct{}, moved func() int64, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for last := moved(); ; {
		select {
		case <-done:
			return nil
		case <-timer.C:
			now := moved()
			if now == last {
				return fmt.Errorf("the disk has taken nothing for %v", patience)
			}
			last = now
			timer.Reset(patience)
		}
	}
}
