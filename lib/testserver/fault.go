package testserver

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"time"
)

// Fault is something that goes wrong on purpose, and when.
//
// Of the faults that apply to a handshake ([Refuse], [HangHandshake], [Redirect], [BadAccept]) only the first happens:
// there is no connection then. The others happen on a connection as soon as their After is reached. Each happens at
// most once on a connection.
type Fault struct {
	// Do is what goes wrong: a value of one of this package's types, from Refuse to Truncate.
	Do FaultKind

	// Path is a pattern (path.Match) for the paths of the requests; "" matches all.
	Path string
	// First and Last are a range of handshakes, counted from 1 among those whose path matches. Both 0: all.
	First, Last int
	// Probability is decided by Options.Seed and the number of the handshake alone. 0 means that the fault happens.
	Probability float64

	// AfterBytes, AfterMessages or AfterTime is what the connection has received, or how long it has existed, when the
	// fault happens. At most one may be set. AfterBytes counts the payload of messages, and is exact.
	AfterBytes, AfterMessages int64
	AfterTime                 time.Duration
}

// FaultKind says what goes wrong. Only the types of this package can be used.
type FaultKind interface {
	// Name is what the report calls it.
	Name() string
}

// Check returns why the fault is impossible, which New would refuse.
func (f Fault) Check() error {
	onHandshake := false
	switch f.Do.(type) {
	case handshakeFault:
		onHandshake = true
	case connectionFault:
	default:
		return errors.New("fault: Do is not set to a fault of this package")
	}
	if err := f.check(onHandshake); err != nil {
		return fmt.Errorf("fault %s: %w", f.Do.Name(), err)
	}
	return nil
}

func (f Fault) check(onHandshake bool) error {
	if _, err := path.Match(f.Path, ""); err != nil {
		return fmt.Errorf("path %q: %w", f.Path, err)
	}
	afters := 0
	for _, set := range []bool{f.AfterBytes != 0, f.AfterMessages != 0, f.AfterTime != 0} {
		if set {
			afters++
		}
	}
	switch {
	case afters > 1:
		return errors.New("more than one of AfterBytes, AfterMessages and AfterTime")
	case onHandshake && afters > 0:
		return errors.New("nothing comes before the handshake")
	case f.First < 0 || f.Last < f.First || f.AfterBytes < 0 || f.AfterMessages < 0 || f.AfterTime < 0:
		return errors.New("a number is out of range")
	case math.IsNaN(f.Probability) || f.Probability < 0 || f.Probability > 1:
		return errors.New("the probability is not between 0 and 1")
	}
	if do, ok := f.Do.(interface{ check() error }); ok {
		return do.check()
	}
	return nil
}

// FaultEvent is a fault that has happened.
type FaultEvent struct {
	// Fault is its place in Options.Faults, from 1.
	Fault int    `json:"fault"`
	Do    string `json:"do"` // FaultKind.Name
	Path  string `json:"path"`
	// Handshake is the number, from 1, of the handshake, and Connection that of the connection that came of it; 0:
	// none.
	Handshake  int       `json:"handshake"`
	Connection int       `json:"connection,omitempty"`
	At         time.Time `json:"at"`
	// Bytes and Messages had been received on the connection.
	Bytes    int64 `json:"bytes"`
	Messages int64 `json:"messages"`
}

// schedule says what goes wrong with one handshake and the connection that comes of it.
type schedule struct {
	number     int           // of the handshake, from 1
	handshake  *pendingFault // nil: the handshake is answered as it should be
	connection []*pendingFault
}

// pendingFault is a fault that is going to happen once.
type pendingFault struct {
	*Fault
	index int // in Options.Faults, from 1
}

// schedule decides what goes wrong with the next handshake.
func (s *Server) schedule(requestPath string) schedule {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshakes++
	next := schedule{number: s.handshakes}
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
		// Seeded by the fault and its handshake alone: other connections and timing do not change the outcome.
		random := rand.New(rand.NewPCG(s.options.Seed, uint64(i)<<32|uint64(n)))
		if f.Probability > 0 && random.Float64() >= f.Probability {
			continue
		}
		pending := &pendingFault{f, i + 1}
		if _, ok := f.Do.(connectionFault); ok {
			next.connection = append(next.connection, pending)
		} else if next.handshake == nil {
			next.handshake = pending
		}
	}
	return next
}

// recordFault logs a fault that happens now, and adds it to the report.
func (s *Server) recordFault(f FaultEvent) {
	f.At = time.Now().UTC()
	s.log.Info("fault "+f.Do, "path", f.Path, "handshake", f.Handshake, "bytes", f.Bytes, "messages", f.Messages)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}
