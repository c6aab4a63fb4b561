package stream

import (
	"sync"
	"time"
)

// Ledger is the account of one tool: what it read, and for each output what became of it.
type Ledger struct {
	tool    string
	started time.Time

	mu       sync.Mutex
	in       int64
	accounts []*Account
}

// NewLedger opens the ledger of the named tool.
func NewLedger(tool string) *Ledger {
	return &Ledger{tool: tool, started: time.Now().UTC()}
}

// AddIn counts n bytes that the tool read.
func (l *Ledger) AddIn(n int) {
	l.mu.Lock()
	l.in += int64(n)
	l.mu.Unlock()
}

// Open adds an output, or goes on with the account of one of that name that was closed, so that outputs which come and go
// for months do not make a ledger without end. The name must not show a secret: it is written as it is.
func (l *Ledger) Open(to string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		if a.reopen(to) {
			return a
		}
	}
	a := &Account{counts: Counts{To: to}}
	l.accounts = append(l.accounts, a)
	return a
}

// Snapshot is a ledger at one moment, in the form in which it is written.
type Snapshot struct {
	Tool    string     `json:"tool"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
	In      In         `json:"in"`
	Out     []Counts   `json:"out"`
}

// In is what a tool read.
type In struct {
	Bytes int64 `json:"bytes"`
}

// Snapshot returns the ledger as it stands. The last one of a tool says when it ended.
func (l *Ledger) Snapshot(ended bool) Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Tool: l.tool, Started: l.started, In: In{l.in}, Out: make([]Counts, 0, len(l.accounts))}
	for _, a := range l.accounts {
		s.Out = append(s.Out, a.Counts())
	}
	if ended {
		now := time.Now().UTC()
		s.Ended = &now
	}
	return s
}

// Dropped is what was lost over all outputs, in bytes: every reason but Stop, which is a drop that the user asked for.
func (s Snapshot) Dropped() int64 {
	var n int64
	for _, c := range s.Out {
		n += c.Dropped.Sum() - c.Dropped.Stop
	}
	return n
}

// Reason says why bytes were dropped.
type Reason uint8

const (
	// Age: older than --max-age.
	Age Reason = iota
	// Full: no room in --buffer.
	Full
	// Resync: before the next place where decoding can start.
	Resync
	// OutOfSync: no packets.
	OutOfSync
	// Torn: part of a packet at a splice or an end.
	Torn
	// Lost: written to a connection or a file that died before it confirmed. It may have arrived.
	Lost
	// Stop: past a limit that the user set.
	Stop
	// Shutdown: still here when the tool had to end.
	Shutdown

	reasons
)

// Dropped counts dropped bytes by reason.
type Dropped struct {
	Age    int64 `json:"age"`
	Full   int64 `json:"full"`
	Resync int64 `json:"resync"`
	Sync   int64 `json:"sync"`
	Torn   int64 `json:"torn"`
	Lost   int64 `json:"lost"`
	Stop   int64 `json:"stop"`
	Exit   int64 `json:"exit"`
}

// Sum is the total over all reasons.
func (d Dropped) Sum() int64 {
	return d.Age + d.Full + d.Resync + d.Sync + d.Torn + d.Lost + d.Stop + d.Exit
}

func (d *Dropped) reason(r Reason) *int64 {
	return [reasons]*int64{&d.Age, &d.Full, &d.Resync, &d.Sync, &d.Torn, &d.Lost, &d.Stop, &d.Exit}[r]
}

// Counts is one entry of a ledger's "out". All figures are bytes but Messages, Connects and those of Recorded.
type Counts struct {
	To          string  `json:"to"`
	In          int64   `json:"in"`
	Confirmed   int64   `json:"confirmed"`
	Unconfirmed int64   `json:"unconfirmed"`
	Held        int64   `json:"held"`
	Dropped     Dropped `json:"dropped"`
	Written     int64   `json:"written"`
	Resent      int64   `json:"resent"`
	Injected    int64   `json:"injected"`
	Messages    int64   `json:"messages"`
	Connects    int64   `json:"connects"`
	*Recorded
}

// Recorded is what only a recorder's entry has.
type Recorded struct {
	Segments  int64 `json:"segments"`
	Frames    int64 `json:"frames"`
	Keyframes int64 `json:"keyframes"`
}

// Balances reports whether the entry adds up: in = confirmed + unconfirmed + held + dropped, none of them negative.
func (c Counts) Balances() bool {
	if c.Confirmed < 0 || c.Unconfirmed < 0 || c.Held < 0 {
		return false
	}
	for r := range reasons {
		if *c.Dropped.reason(r) < 0 {
			return false
		}
	}
	return c.In == c.Confirmed+c.Unconfirmed+c.Held+c.Dropped.Sum()
}

// Account keeps one entry of a ledger by double entry: bytes come in as held, and after that they only move, so the
// entry balances at every moment. The queue in front of the output does the moving; the output itself counts what it
// did beside it.
type Account struct {
	mu     sync.Mutex
	counts Counts
	closed bool
}

// Close says that the output is gone for good. Its figures stay.
func (a *Account) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
}

// reopen reports whether it was the closed account of an output of that name, which is open now.
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

// readInVain counts n bytes that were read after their output was given up.
func (a *Account) readInVain(n int, r Reason) {
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

// untake moves n bytes back, to be taken again.
func (a *Account) untake(n int64) {
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

// abandon moves all that is held to the reason, and all that is unconfirmed to Lost; with Stop that too to the reason,
// since it was taken and is past the limit.
func (a *Account) abandon(r Reason) {
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

// AddWritten counts a parcel that was handed to the socket, the file or the pipe.
func (a *Account) AddWritten(p *Delivery) {
	a.mu.Lock()
	a.counts.Written += int64(p.Size)
	if p.Redelivered {
		a.counts.Resent += int64(p.Size)
	}
	a.counts.Injected += int64(p.Injected())
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

// SetRecorded sets the counts of a recorder.
func (a *Account) SetRecorded(r Recorded) {
	a.mu.Lock()
	a.counts.Recorded = &r
	a.mu.Unlock()
}
