package push

import (
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// confirmClock measures for how long a destination has confirmed nothing although something waited for it. Only the
// destination's run uses it, or the session that run waits for.
type confirmClock struct {
	confirmed int64
	failed    int64 // bytes dropped because they could not be delivered in time, when the clock was reset
	since     time.Time
}

// sample returns the time on the clock. Without a connection, what was dropped counts as if it waited, because with
// live a queue may be empty until the next group of pictures. With one, an empty queue has been served.
func (k *confirmClock) sample(now time.Time, c stream.Counts, connected bool) time.Duration {
	failed := c.Dropped.Age + c.Dropped.Full + c.Dropped.Lost
	waits := c.Held+c.Unconfirmed > 0 || !connected && failed != k.failed
	if !waits || c.Confirmed != k.confirmed || k.since.IsZero() {
		*k = confirmClock{c.Confirmed, failed, now}
	}
	return now.Sub(k.since)
}
