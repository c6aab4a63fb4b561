package testserver

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"
)

// Fault is something that goes wrong on purpose. Those of the handshake (Refuse, HangHandshake, Redirect, BadAccept) need
// no connection; of several that match, the first happens. The others happen on a connection, when what is after it has
// been reached; all that match happen, each once. Fields that a fault does not use must be zero: see FaultKinds.
type Fault struct {
	Do FaultName

	// Path is the pattern (path.Match) of the paths that it is about; "" means all.
	Path string
	// First and Last are the handshakes that it is about: numbers from 1, of those with a path that matches. Both 0: all.
	First, Last int
	// Probability is that with which it happens, decided by Options.Seed alone; 0 means that it does.
	Probability float64

	// AfterBytes, AfterMessages or AfterTime is when it happens, counted from the connection's start: at most one of them.
	// Of the bytes of messages exactly so many are received before.
	AfterBytes, AfterMessages int64
	AfterTime                 time.Duration

	Code       int           // of Refuse (503), Redirect (302), Close and CloseThenSilent (1001)
	Reason     string        // of Close and CloseThenSilent
	RetryAfter time.Duration // of Refuse: a header in whole seconds
	To         string        // of Redirect: where to; "": here
	For        time.Duration // how long; 0: 1s for floods, 2s for LatePong, 10s for CloseThenSilent, else until the peer has gone
	Rate       int64         // of Slow, in bytes a second
	Size       int           // of BigPing, in bytes (126)
	Kind       string        // of BadFrame: "rsv" (also ""), "opcode", "masked" or "continuation"
}

// FaultName says what goes wrong.
type FaultName string

// The faults; FaultKinds says what they do.
const (
	Refuse          FaultName = "refuse"
	HangHandshake   FaultName = "hang-handshake"
	Redirect        FaultName = "redirect"
	BadAccept       FaultName = "bad-accept"
	AcceptThenClose FaultName = "accept-then-close"
	Reset           FaultName = "reset"
	CloseFrame      FaultName = "close"
	CloseThenSilent FaultName = "close-then-silent"
	Stall           FaultName = "stall"
	Slow            FaultName = "slow"
	NoPong          FaultName = "no-pong"
	LatePong        FaultName = "late-pong"
	HalfOpen        FaultName = "half-open"
	SendText        FaultName = "send-text"
	SendFlood       FaultName = "send-flood"
	PingFlood       FaultName = "ping-flood"
	BigPing         FaultName = "big-ping"
	BadFrame        FaultName = "bad-frame"
	Truncate        FaultName = "truncate"
)

// FaultKind describes a fault.
type FaultKind struct {
	Name FaultName
	// Handshake: it happens instead of a connection, and has no After.
	Handshake bool
	// Uses are the fields that it has beside those that all have: "code", "reason", "retry-after", "to", "for", "rate",
	// "size", "kind".
	Uses    []string
	Summary string
	Example string // as the command takes it
}

// FaultKinds lists all faults.
func FaultKinds() []FaultKind { return slices.Clone(faultKinds) }

var faultKinds = []FaultKind{
	{Refuse, true, []string{"code", "retry-after"}, "answer the handshake with an HTTP status (503)", "conn=1,do=refuse,code=429,retry-after=2s"},
	{HangHandshake, true, []string{"for"}, "never answer the handshake", "conn=1,do=hang-handshake"},
	{Redirect, true, []string{"code", "to"}, "answer the handshake with a redirect (302), to this server itself unless told where", "do=redirect,to=ws://127.0.0.1:9/"},
	{BadAccept, true, nil, "answer 101 with a wrong Sec-WebSocket-Accept", "conn=1,do=bad-accept"},
	{AcceptThenClose, false, nil, "accept, then close the TCP connection without a close frame", "conn=1-3,do=accept-then-close"},
	{Reset, false, nil, "reset the TCP connection", "conn=2,path=/cam*,after=1MiB,do=reset"},
	{CloseFrame, false, []string{"code", "reason"}, "close with a close frame (1001)", "after=100messages,do=close,code=1012,reason=restart"},
	{CloseThenSilent, false, []string{"code", "reason", "for"}, "send a close frame, then say nothing and keep the TCP connection (for 10s)", "after=5s,do=close-then-silent,for=1m"},
	{Stall, false, []string{"for"}, "read nothing for a while, then go on", "after=64KiB,do=stall,for=3s"},
	{Slow, false, []string{"rate"}, "read so many bytes a second", "do=slow,rate=8KiB"},
	{NoPong, false, nil, "answer no ping", "after=10s,do=no-pong"},
	{LatePong, false, []string{"for"}, "answer pings late (by 2s)", "do=late-pong,for=4s"},
	{HalfOpen, false, []string{"for"}, "neither read nor write, keep the TCP connection, then reset it", "after=1MiB,do=half-open,for=1m"},
	{SendText, false, nil, "send a text message, go on", "after=1messages,do=send-text"},
	{SendFlood, false, []string{"for"}, "send binary messages as fast as they go (for 1s)", "do=send-flood,for=5s"},
	{PingFlood, false, []string{"for"}, "send pings as fast as they go (for 1s)", "do=ping-flood"},
	{BigPing, false, []string{"size"}, "send a ping with more than the 125 bytes allowed (126)", "do=big-ping,size=1000"},
	{BadFrame, false, []string{"kind"}, "send a frame that is forbidden: kind=rsv (a reserved bit), opcode, masked or continuation", "after=1messages,do=bad-frame,kind=opcode"},
	{Truncate, false, nil, "send half a frame, then close the TCP connection", "after=1messages,do=truncate"},
}

// badFrames are the kinds of BadFrame.
var badFrames = []string{"", "rsv", "opcode", "masked", "continuation"}

// Check says what is wrong with a fault, as New does.
func (f Fault) Check() error { return f.check() }

// check says what is wrong with a fault, and fills in what is left out.
func (f *Fault) check() error {
	i := slices.IndexFunc(faultKinds, func(k FaultKind) bool { return k.Name == f.Do })
	if i < 0 {
		return fmt.Errorf("no fault %q", f.Do)
	}
	kind := faultKinds[i]
	if _, err := path.Match(f.Path, ""); err != nil {
		return fmt.Errorf("fault %s: path %q: %w", f.Do, f.Path, err)
	}
	afters := 0
	for _, set := range []bool{f.AfterBytes != 0, f.AfterMessages != 0, f.AfterTime != 0} {
		if set {
			afters++
		}
	}
	for _, used := range []struct {
		name string
		set  bool
	}{
		{"code", f.Code != 0}, {"reason", f.Reason != ""}, {"retry-after", f.RetryAfter != 0}, {"to", f.To != ""},
		{"for", f.For != 0}, {"rate", f.Rate != 0}, {"size", f.Size != 0}, {"kind", f.Kind != ""},
	} {
		if used.set && !slices.Contains(kind.Uses, used.name) {
			return fmt.Errorf("fault %s has no %s", f.Do, used.name)
		}
	}
	switch {
	case afters > 1:
		return fmt.Errorf("fault %s: more than one after", f.Do)
	case kind.Handshake && afters > 0:
		return fmt.Errorf("fault %s is about the handshake: nothing comes before it", f.Do)
	case f.First < 0 || f.Last < f.First || f.AfterBytes < 0 || f.AfterMessages < 0 || f.AfterTime < 0 || f.For < 0 ||
		f.RetryAfter < 0 || f.Rate < 0:
		return fmt.Errorf("fault %s: a number is out of range", f.Do)
	case math.IsNaN(f.Probability) || f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("fault %s: the probability is not within 0 and 1", f.Do)
	case f.Do == Slow && f.Rate == 0:
		return fmt.Errorf("fault %s needs a rate", f.Do)
	case !slices.Contains(badFrames, f.Kind):
		return fmt.Errorf("fault %s: no kind %q", f.Do, f.Kind)
	case f.Size != 0 && (f.Size < 126 || f.Size > 1<<20):
		return fmt.Errorf("fault %s: the size is not within 126 and 1 MiB", f.Do)
	case len(f.Reason) > 123: // RFC 6455, 5.5
		return fmt.Errorf("fault %s: the reason is longer than 123 bytes", f.Do)
	case strings.ContainsAny(f.To, "\r\n"):
		return fmt.Errorf("fault %s: a header has one line", f.Do)
	}
	return f.complete()
}

func (f *Fault) complete() error {
	code, low, high := 0, 0, 0
	switch f.Do {
	case Refuse:
		code, low, high = 503, 300, 599
	case Redirect:
		code, low, high = 302, 300, 399
	case CloseFrame, CloseThenSilent:
		code, low, high = codeGoingAway, 0, 65535 // those that must not be sent too
	}
	if f.Code == 0 {
		f.Code = code
	} else if f.Code < low || f.Code > high {
		return fmt.Errorf("fault %s: the code is not within %d and %d", f.Do, low, high)
	}
	if f.For == 0 {
		switch f.Do {
		case SendFlood, PingFlood:
			f.For = time.Second
		case CloseThenSilent:
			f.For = 10 * time.Second
		case LatePong:
			f.For = 2 * time.Second
		}
	}
	if f.Do == BigPing && f.Size == 0 {
		f.Size = 126
	}
	return nil
}

func (f *Fault) isHandshake() bool {
	return slices.ContainsFunc(faultKinds, func(k FaultKind) bool { return k.Name == f.Do && k.Handshake })
}

// FaultEvent is a fault that has happened.
type FaultEvent struct {
	// Fault is its place in Options.Faults, from 1.
	Fault int       `json:"fault"`
	Do    FaultName `json:"do"`
	Path  string    `json:"path"`
	// Handshake is the number, from 1, of the handshake, and Connection that of the connection that came of it; 0: none.
	Handshake  int       `json:"handshake"`
	Connection int       `json:"connection,omitempty"`
	At         time.Time `json:"at"`
	// Bytes and Messages had come on the connection.
	Bytes    int64 `json:"bytes"`
	Messages int64 `json:"messages"`
}

// plan is what is to go wrong with one handshake.
type plan struct {
	number    int     // of the handshake, from 1
	handshake *step   // nil: nothing, before there is a connection
	steps     []*step // on the connection
}

// step is a fault that is to happen once.
type step struct {
	*Fault
	index int // in Options.Faults, from 1
}

// plan decides what goes wrong with the next handshake.
func (s *Server) plan(requestPath string) plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshakes++
	p := plan{number: s.handshakes}
	for i := range s.options.Faults {
		f := &s.options.Faults[i]
		if ok, _ := path.Match(f.Path, requestPath); f.Path != "" && !ok {
			continue
		}
		s.matched[i]++
		n := s.matched[i]
		if f.First > 0 && (n < f.First || n > f.Last) {
			continue
		}
		// Of the fault and the handshake alone: no other connection, and no time, has a part in it.
		random := rand.New(rand.NewPCG(s.options.Seed, uint64(i)<<32|uint64(n)))
		if f.Probability > 0 && random.Float64() >= f.Probability {
			continue
		}
		switch next := (&step{f, i + 1}); {
		case !f.isHandshake():
			p.steps = append(p.steps, next)
		case p.handshake == nil:
			p.handshake = next
		}
	}
	return p
}

// fired notes that a fault has happened.
func (s *Server) fired(f FaultEvent) {
	f.At = time.Now().UTC()
	s.log.Info("fault "+string(f.Do), "path", f.Path, "handshake", f.Handshake, "bytes", f.Bytes, "messages", f.Messages)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}
