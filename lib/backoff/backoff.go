// Package backoff paces what is tried again after it failed, such as a dial.
//
// It is vw's own and may change.
package backoff

import (
	"math/rand/v2"
	"time"
)

// StableAfter is how long a connection must last before the next dial is prompt again. A server that accepts a
// connection and ends it at once does not work.
const StableAfter = 5 * time.Second

// Backoff gives the pauses between attempts. Each is at random between a minimum and a ceiling, which doubles with each
// pause up to a maximum. So many clients that lost one server do not come back at once, not even with their first dial.
type Backoff struct {
	min, max time.Duration
	ceiling  time.Duration
}

// New returns a Backoff whose first pause is at random between shortest and twice that.
func New(shortest, longest time.Duration) *Backoff {
	b := &Backoff{min: shortest, max: max(shortest, longest)}
	b.reset()
	return b
}

func (b *Backoff) reset() { b.ceiling = min(2*b.min, b.max) }

// Next returns the next pause.
func (b *Backoff) Next() time.Duration { return b.next(b.min) }

// NextSlow returns a pause in the upper half of the range, and so will Next be likely to: for an error that an early
// attempt does not cure.
func (b *Backoff) NextSlow() time.Duration {
	b.ceiling = b.max
	return b.next(max(b.min, b.max/2))
}

func (b *Backoff) next(lowest time.Duration) time.Duration {
	pause := lowest
	if spread := b.ceiling - lowest; spread > 0 {
		pause += rand.N(spread)
	}
	b.ceiling = min(2*b.ceiling, b.max)
	return pause
}

// Lasted says for how long the last connection lasted. After StableAfter, the next pause is a first one again.
func (b *Backoff) Lasted(d time.Duration) {
	if d >= StableAfter {
		b.reset()
	}
}
