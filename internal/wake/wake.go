// Package wake lets goroutines wake one that waits for work.
//
// It is vw's own and may change.
package wake

// Signal is a channel that one goroutine receives from. It holds one token, so a Set before the receive is not lost,
// and any number of them wake the receiver once: it must look for all work that there is.
type Signal chan struct{}

// New returns a Signal that is not set.
func New() Signal { return make(Signal, 1) }

// Set lets one receive go on, now or later. It never blocks.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
