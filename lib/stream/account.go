package stream

import (
	"sync"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Account keeps one entry of a ledger by double entry: bytes come in as held, and after that they only move, so that
// the entry balances at every moment. The queue moves them. The output counts what is apart from the sum: what it
// wrote, messages, connections.
type Account struct {
	mu      sync.Mutex
	figures [figures]amount // that must add up
	counts  Counts          // the others
	closed  bool
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
	c, f := a.counts, &a.figures
	p := &c.Packets
	c.In, p.In = f[read].bytes, f[read].packets
	c.Confirmed, p.Confirmed = f[confirmed].bytes, f[confirmed].packets
	c.Unconfirmed, p.Unconfirmed = f[unconfirmed].bytes, f[unconfirmed].packets
	c.Held, p.Held = f[held].bytes, f[held].packets
	for r := range reasons {
		*c.Dropped.reason(r), *p.Dropped.reason(r) = f[droppedFor(r)].bytes, f[droppedFor(r)].packets
	}
	if c.Recorded != nil {
		r := *c.Recorded
		c.Recorded = &r
	}
	return c
}

// amount is a number of bytes of a stream, and of the packets that they are; bytes that are no packets have none.
type amount struct{ bytes, packets int64 }

// amountOf returns n bytes of a kind. Of packets they are whole ones.
func amountOf(k Kind, n int) amount {
	if k != Packets {
		return amount{bytes: int64(n)}
	}
	return amount{int64(n), int64(n / mpegts.PacketSize)}
}

func (n *amount) add(more amount) {
	n.bytes += more.bytes
	n.packets += more.packets
}

// figure is a place in an account between which amounts move.
type figure uint8

const (
	read figure = iota
	held
	unconfirmed
	confirmed
	firstDropped // and one for each further reason
	figures      = int(firstDropped) + int(reasons)
)

func droppedFor(r Reason) figure { return firstDropped + figure(r) }

// read counts what was read. It is held.
func (a *Account) read(n amount) {
	a.mu.Lock()
	a.figures[read].add(n)
	a.figures[held].add(n)
	a.mu.Unlock()
}

// readDropped counts what was read after Abort.
func (a *Account) readDropped(n amount, r Reason) {
	a.mu.Lock()
	a.figures[read].add(n)
	a.figures[droppedFor(r)].add(n)
	a.mu.Unlock()
}

// move moves an amount from one figure to another.
func (a *Account) move(n amount, from, to figure) {
	a.mu.Lock()
	a.figures[from].add(amount{-n.bytes, -n.packets})
	a.figures[to].add(n)
	a.mu.Unlock()
}

func (a *Account) take(n amount) { a.move(n, held, unconfirmed) }

// requeue moves n back, to be taken again.
func (a *Account) requeue(n amount) { a.move(n, unconfirmed, held) }

func (a *Account) confirm(n amount) { a.move(n, unconfirmed, confirmed) }

func (a *Account) dropHeld(r Reason, n amount) { a.move(n, held, droppedFor(r)) }

func (a *Account) dropUnconfirmed(r Reason, n amount) { a.move(n, unconfirmed, droppedFor(r)) }

// abort moves what is held to the reason, and what is unconfirmed to Lost, or to Stop when that is the reason.
func (a *Account) abort(r Reason) {
	a.mu.Lock()
	a.figures[droppedFor(r)].add(a.figures[held])
	if r != Stop {
		r = Lost
	}
	a.figures[droppedFor(r)].add(a.figures[unconfirmed])
	a.figures[held], a.figures[unconfirmed] = amount{}, amount{}
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
