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
	in       amount
	accounts []*Account
	funcs    []func() Counts
}

// NewLedger opens the ledger of the named tool.
func NewLedger(tool string) *Ledger {
	return &Ledger{tool: tool, started: time.Now().UTC()}
}

// AddBatch counts a batch that the tool read.
func (l *Ledger) AddBatch(b Batch) { l.add(b.amount()) }

// AddIn counts n bytes that the tool read, and that are in no batch.
func (l *Ledger) AddIn(n int) { l.add(amount{bytes: int64(n)}) }

func (l *Ledger) add(n amount) {
	l.mu.Lock()
	l.in.add(n)
	l.mu.Unlock()
}

// Open adds an output. If one of that name was closed, Open returns its account, so that a ledger does not grow without
// end when outputs come and go. The name is written as it is and must not show a secret.
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
	Bytes   int64 `json:"bytes"`
	Packets int64 `json:"-"` // MPEG-TS packets; not in the ledger's file, only in metrics
}

// Snapshot returns the ledger as it stands. The last one of a tool says when it ended.
func (l *Ledger) Snapshot(ended bool) Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Tool: l.tool, Started: l.started, In: In{l.in.bytes, l.in.packets}}
	s.Out = make([]Counts, 0, len(l.accounts)) // [] in JSON, not null
	for _, a := range l.accounts {
		s.Out = append(s.Out, a.Counts())
	}
	for _, counts := range l.funcs {
		s.Out = append(s.Out, counts())
	}
	if ended {
		now := time.Now().UTC()
		s.Ended = &now
	}
	return s
}

// Dropped is how many bytes all outputs dropped, for any reason but Stop, which the user asked for.
func (s Snapshot) Dropped() int64 {
	var n int64
	for _, c := range s.Out {
		if c.Viewers == nil {
			n += c.Dropped.Sum() - c.Dropped.Stop
		}
	}
	return n
}

// Uncarried is how many files were deleted, over all outputs, before they were carried away.
func (s Snapshot) Uncarried() (n int64) {
	for _, c := range s.Out {
		if c.Recorded != nil {
			n += c.Recorded.Uncarried
		}
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
	// Resync: between a loss and the next place where decoding can start.
	Resync
	// OutOfSync: bytes that belong to no packet.
	OutOfSync
	// Torn: part of a packet, at a splice or an end.
	Torn
	// Lost: written to a connection or a file that died before it confirmed. It may have arrived.
	Lost
	// Stop: past a limit that the user set.
	Stop
	// Shutdown: still held when the tool had to end.
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
	// Publisher is the name of the token that the publisher showed last: of vw-ingest, with tokens that have names.
	Publisher string `json:"publisher,omitempty"`
	// Stream is the name that a handshake gave the stream: of vw-push, and of vw-ingest the last one.
	Stream string `json:"stream,omitempty"`
	// Packets are the figures in MPEG-TS packets; 0 of viewers. They are not in the ledger's file, only in metrics.
	Packets PacketCounts `json:"-"`
	*Recorded
	*Viewers
}

// PacketCounts are figures of Counts in MPEG-TS packets. They add up as the bytes do.
type PacketCounts struct {
	In, Confirmed, Unconfirmed, Held int64
	Dropped                          Dropped
}

// Recorded is what only a recorder's entry has.
type Recorded struct {
	Segments  int64 `json:"segments"`
	Frames    int64 `json:"frames"`
	Keyframes int64 `json:"keyframes"`
	// Uncarried counts files that had to be deleted before the command of --exec had succeeded.
	Uncarried int64 `json:"uncarried"`
}

// Balances reports whether the entry adds up, in bytes and in packets: in = confirmed + unconfirmed + held + dropped,
// none of them negative.
func (c Counts) Balances() bool {
	p := c.Packets
	return balances(c.In, c.Confirmed, c.Unconfirmed, c.Held, c.Dropped) &&
		balances(p.In, p.Confirmed, p.Unconfirmed, p.Held, p.Dropped)
}

func balances(in, confirmed, unconfirmed, held int64, dropped Dropped) bool {
	if confirmed < 0 || unconfirmed < 0 || held < 0 {
		return false
	}
	for r := range reasons {
		if *dropped.reason(r) < 0 {
			return false
		}
	}
	return in == confirmed+unconfirmed+held+dropped.Sum()
}
