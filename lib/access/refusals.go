package access

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Reason says in one word why a client was refused. These are all there are, so that a filter of the log can rely on
// them.
type Reason string

// The reasons.
const (
	BadToken    Reason = "token"       // it showed none, or one that is not in force
	BadOrigin   Reason = "origin"      // a browser acts for a page of another host
	BadHost     Reason = "host"        // it asks for a host by a name that is not known
	BadCert     Reason = "certificate" // its TLS handshake failed, for lack of a certificate or otherwise
	BadRequest  Reason = "request"     // its header is malformed or too long, or its body or handshake is unacceptable
	SlowRequest Reason = "slow"        // its header took too long
	Conflict    Reason = "conflict"    // another publisher is connected
	TooMany     Reason = "limit"       // too many connections, of its address or in all
	Stopping    Reason = "stopping"    // the tool is about to end
)

const (
	// refusalsPerSecond is how many lines about refusals are logged in a second.
	refusalsPerSecond = 10
	// maxRefused is how many addresses are remembered whose refusals were not logged yet.
	maxRefused = 1024
)

// RefusalLog logs who was refused, in one form: the message "refused", addr= and reason=. Nothing that the client sent
// is in it. It logs ten lines a second. A line stands for others of the same address with refused=N, their number with
// its own; a line without addr= stands for those of all addresses that there were too many of.
type RefusalLog struct {
	log Log

	mu      sync.Mutex
	counts  map[Reason]int64
	window  time.Time // when the second began
	lines   int       // logged in it
	pending map[netip.Addr]*refusals
	order   []netip.Addr // of pending
	rest    int          // refusals of addresses that are not remembered
	timer   *time.Timer  // logs pending; nil when nothing is
}

type refusals struct {
	reason Reason // of the last one
	n      int
}

// NewRefusalLog logs to log.
func NewRefusalLog(log Log) *RefusalLog {
	return &RefusalLog{log: log, counts: map[Reason]int64{}, pending: map[netip.Addr]*refusals{}}
}

// Refused counts and logs one refusal. A client without an address (of a unix socket) has the zero one.
func (l *RefusalLog) Refused(addr netip.Addr, reason Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[reason]++
	if p := l.pending[addr]; p != nil {
		p.reason = reason
		p.n++
		return
	}
	if l.timer == nil && l.mayLog(time.Now()) {
		l.line(addr, refusals{reason, 1})
		return
	}
	if len(l.pending) < maxRefused {
		l.pending[addr] = &refusals{reason, 1}
		l.order = append(l.order, addr)
	} else {
		l.rest++
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(l.window.Add(time.Second)), l.logPending)
	}
}

// mayLog counts a line if there is room for it in this second. l.mu is held.
func (l *RefusalLog) mayLog(now time.Time) bool {
	if now.Sub(l.window) >= time.Second {
		l.window, l.lines = now, 0
	}
	if l.lines >= refusalsPerSecond {
		return false
	}
	l.lines++
	return true
}

// line logs one line. l.mu is held.
func (l *RefusalLog) line(addr netip.Addr, r refusals) {
	args := []any{"addr", AddrName(addr), "reason", string(r.reason)}
	if r.n > 1 {
		args = append(args, "refused", r.n)
	}
	l.log.Warn("refused", args...)
}

// AddrName is an address as logs have it: "unix" is the zero one, that of a unix socket.
func AddrName(addr netip.Addr) string {
	if !addr.IsValid() {
		return "unix"
	}
	return addr.String()
}

// logPending logs what is held back, as much as fits into a second.
func (l *RefusalLog) logPending() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.rest > 0 && l.mayLog(now) {
		l.log.Warn("refused", "refused", l.rest)
		l.rest = 0
	}
	for len(l.order) > 0 && l.mayLog(now) {
		l.next()
	}
	l.timer = nil
	if len(l.order) > 0 || l.rest > 0 {
		l.timer = time.AfterFunc(time.Until(l.window.Add(time.Second)), l.logPending)
	}
}

// next logs the refusals of the address that waits longest. l.mu is held.
func (l *RefusalLog) next() {
	addr := l.order[0]
	l.line(addr, *l.pending[addr])
	delete(l.pending, addr)
	l.order = slices.Delete(l.order, 0, 1)
}

// Flush logs what is held back: of ten addresses at most, and the number of the rest. Call it at the end.
func (l *RefusalLog) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	for range min(len(l.order), refusalsPerSecond) {
		l.next()
	}
	for addr, r := range l.pending {
		l.rest += r.n
		delete(l.pending, addr)
	}
	l.order = nil
	if l.rest > 0 {
		l.log.Warn("refused", "refused", l.rest)
		l.rest = 0
	}
}

// Counts returns how many refusals there have been, by reason.
func (l *RefusalLog) Counts() map[Reason]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}
