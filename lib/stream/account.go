package stream

import "sync"

// Account keeps one entry of a ledger by double entry: bytes come in as held, and after that they only move, so that
// the entry balances at every moment. The queue moves them. The output counts what is apart from the sum: what it
// wrote, messages, connections.
type Account struct {
	mu     sync.Mutex
	counts Counts
	closed bool
}

// Close says that the output is gone. Its figures stay.
func (a *Account) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
}

// reopen opens a closed account of that name again, and reports whether it is one.
func (a *Account) reopen(to string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed || a.counts.To != to {
		return false
	}
	a.closed = false
	return true
}

// Counts returns the entry as it stands.
func (a *Account) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts
	if c.Recorded != nil {
		r := *c.Recorded
		c.Recorded = &r
	}
	return c
}

func (a *Account) read(n int) {
	a.mu.Lock()
	a.counts.In += int64(n)
	a.counts.Held += int64(n)
	a.mu.Unlock()
}

// readDropped counts n bytes that were read after Abort.
func (a *Account) readDropped(n int, r Reason) {
	a.mu.Lock()
	a.counts.In += int64(n)
	*a.counts.Dropped.reason(r) += int64(n)
	a.mu.Unlock()
}

// take moves n bytes from held to unconfirmed.
func (a *Account) take(n int) {
	a.mu.Lock()
	a.counts.Held -= int64(n)
	a.counts.Unconfirmed += int64(n)
	a.mu.Unlock()
}

// requeue moves n bytes back, to be taken again.
func (a *Account) requeue(n int64) {
	a.mu.Lock()
	a.counts.Unconfirmed -= n
	a.counts.Held += n
	a.mu.Unlock()
}

func (a *Account) confirm(n int64) {
	a.mu.Lock()
	a.counts.Unconfirmed -= n
	a.counts.Confirmed += n
	a.mu.Unlock()
}

// dropHeld moves n bytes from held to the reason.
func (a *Account) dropHeld(r Reason, n int64) {
	a.mu.Lock()
	a.counts.Held -= n
	*a.counts.Dropped.reason(r) += n
	a.mu.Unlock()
}

// dropUnconfirmed moves n bytes from unconfirmed to the reason.
func (a *Account) dropUnconfirmed(r Reason, n int64) {
	a.mu.Lock()
	a.counts.Unconfirmed -= n
	*a.counts.Dropped.reason(r) += n
	a.mu.Unlock()
}

// abort moves what is held to the reason, and what is unconfirmed to Lost, or to Stop when that is the reason.
func (a *Account) abort(r Reason) {
	a.mu.Lock()
	*a.counts.Dropped.reason(r) += a.counts.Held
	unconfirmed := &a.counts.Dropped.Lost
	if r == Stop {
		unconfirmed = &a.counts.Dropped.Stop
	}
	*unconfirmed += a.counts.Unconfirmed
	a.counts.Held, a.counts.Unconfirmed = 0, 0
	a.mu.Unlock()
}

// AddWritten counts a delivery that was handed to the socket, the file or the pipe.
func (a *Account) AddWritten(d *Delivery) {
	a.mu.Lock()
	a.counts.Written += int64(d.Size)
	if d.Redelivered {
		a.counts.Resent += int64(d.Size)
	}
	a.counts.Injected += int64(d.Injected())
	a.mu.Unlock()
}

// AddMessages counts n messages sent.
func (a *Account) AddMessages(n int64) {
	a.mu.Lock()
	a.counts.Messages += n
	a.mu.Unlock()
}

// AddConnects counts a connection made.
func (a *Account) AddConnects() {
	a.mu.Lock()
	a.counts.Connects++
	a.mu.Unlock()
}

// SetPublisher sets the name of the publisher.
func (a *Account) SetPublisher(name string) {
	a.mu.Lock()
	a.counts.Publisher = name
	a.mu.Unlock()
}

// SetStream sets the name of the stream.
func (a *Account) SetStream(name string) {
	a.mu.Lock()
	a.counts.Stream = name
	a.mu.Unlock()
}

// SetRecorded sets the counts of a recorder.
func (a *Account) SetRecorded(r Recorded) {
	a.mu.Lock()
	a.counts.Recorded = &r
	a.mu.Unlock()
}
