package push

import (
	"math/rand/v2"
	"time"
)

// steady is how long a connection must have held for the next dial to be prompt again: a server that accepts and closes
// is no working one.
const steady = 5 * time.Second

// maxRetryAfter is the longest pause that a server may ask for.
const maxRetryAfter = 5 * time.Minute

// backoff is the pause between dials: at random between min and a ceiling that doubles up to max, so that many pushers
// that lost the same server do not come back all at once, not even with their first dial.
type backoff struct {
	min, max time.Duration
	ceiling  time.Duration
}

func newBackoff(shortest, longest time.Duration) backoff {
	b := backoff{min: shortest, max: max(shortest, longest)}
	b.reset()
	return b
}

func (b *backoff) reset() { b.ceiling = min(2*b.min, b.max) }

// next returns the next pause, which is not less than what the server asked for. A slow pause is one of the longest.
func (b *backoff) next(asked time.Duration, slow bool) time.Duration {
	if slow {
		b.ceiling = b.max
	}
	lowest := b.min
	if slow {
		lowest = max(b.min, b.max/2)
	}
	pause := lowest
	if spread := b.ceiling - lowest; spread > 0 {
		pause += rand.N(spread)
	}
	b.ceiling = min(2*b.ceiling, b.max)
	return max(pause, min(asked, maxRetryAfter))
}

// held says how long a connection has lasted.
func (b *backoff) held(d time.Duration) {
	if d >= steady {
		b.reset()
	}
}
