package push

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

const (
	// pingEvery is the pause between pings while data flows. A ping goes with a message, so that it costs no wake-up.
	// When no message comes for as long again, the ping goes alone.
	pingEvery = 500 * time.Millisecond
	// pingThreshold is the part of the buffer that may be unconfirmed before a ping no longer waits for pingEvery. It
	// is half of windowPart's, because the bytes of a message become unconfirmed all at once.
	pingThreshold = 2 * windowPart
)

var (
	// errLinkTimeout says that nothing arrived on a link for too long.
	errLinkTimeout = errors.New("the link is dead")
	// errUnconfirmed says that a connection was given up because nothing was confirmed.
	errUnconfirmed = errors.New("the server is connected but confirms nothing")
)

// confirmLoop waits for pongs and confirms what was written before each one's ping. It sends the pings that cannot wait
// for a message, and one now and then while nothing is sent, so that a dead link is noticed and proxies keep the
// connection open.
func (s *session) confirmLoop(ctx context.Context) {
	idle := s.d.o.DeadAfter / 3
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		var p ping
		select {
		case p = <-s.pings:
		case <-s.pingNow:
			p = s.ping()
		case <-timer.C:
			if rest := idle - s.sincePong(); rest > 0 && s.sent.Load() == s.confirmed.Load() {
				timer.Reset(rest)
				continue
			}
			p = s.ping()
		case <-ctx.Done():
			return
		}
		if p.pong == nil {
			continue // an earlier ping is outstanding, and about to come from send
		}
		select {
		case <-p.pong.Done():
		case <-ctx.Done():
			return
		}
		if p.pong.Err() != nil {
			return // monitor sees why
		}
		s.lastPong.Store(int64(time.Since(s.start))) // before confirmed: send reads them in the other order
		s.confirmed.Store(p.pos)
		s.d.roundTrip.Store(int64(time.Since(p.at)))
		s.d.queue.Confirm(p.pos)
		s.pong.Set()
		s.requestPing()
		timer.Reset(min(2*s.pingInterval(), idle))
	}
}

// ping sends a ping without a message. The result has no pong when an earlier ping is outstanding.
func (s *session) ping() ping {
	pos, at := s.sent.Load(), time.Now()
	return ping{s.conn.TryPing(), pos, at}
}

// requestPing asks for a ping at once when too much is unconfirmed.
func (s *session) requestPing() {
	if s.overThreshold(s.sent.Load()) {
		s.pingNow.Set()
	}
}

// overThreshold reports whether unconfirmed bytes reach the ping threshold once everything up to pos has been sent.
func (s *session) overThreshold(pos int64) bool {
	return pos-s.confirmed.Load() >= s.d.o.Buffer/pingThreshold
}

// sincePong returns how long ago the last pong came, and the longest duration before the first.
func (s *session) sincePong() time.Duration {
	last := s.lastPong.Load()
	if last == 0 {
		return math.MaxInt64
	}
	return time.Since(s.start) - time.Duration(last)
}

// pingInterval returns how long after a pong the next ping is due. On a young connection that is as long as it had
// lasted when the pong came: it begins with the whole backlog, and may die soon.
func (s *session) pingInterval() time.Duration {
	return min(pingEvery, time.Duration(s.lastPong.Load()))
}

// monitor returns why the connection has ended, errLinkTimeout when DeadAfter has passed without a frame and without a
// byte that the peer's TCP acknowledged, or errUnconfirmed when the time to give the destination up has come. A link
// that moves is not dead, however slow. A write that has returned proves nothing: its bytes may still be in the kernel.
func (s *session) monitor(ctx context.Context) error {
	limit := s.d.o.DeadAfter
	every := limit / 8
	if s.d.o.GiveUpAfter > 0 {
		every = min(every, s.d.o.GiveUpAfter/8)
	}
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	var moved progress
	last := s.start // when something moved
	drops := dropReporter{report: s.d.status.slow}
	pongs := pongReporter{report: s.d.status.unconfirmed, limit: limit}
	for {
		var now time.Time
		select {
		case <-s.conn.Done():
			return s.conn.Err()
		case <-ctx.Done():
			return nil
		case now = <-tick.C:
		}
		counts := s.d.account.Counts()
		drops.sample(counts)
		if m := s.progress(); m != moved {
			moved, last = m, now
			pongs.sample(now, s.confirmed.Load(), counts.Unconfirmed) // only now: a dead link is no silent server
		}
		if now.Sub(last) > limit {
			return fmt.Errorf("%w: no answer and no acknowledged byte for %v", errLinkTimeout, limit)
		}
		if s.d.giveUpIn(true) <= 0 {
			return errUnconfirmed
		}
	}
}

// progress are figures that change while a link lives.
type progress struct {
	sent     uint64
	received int64
}

// progress counts any frame from the peer as a sign of life: a server that cannot confirm yet may send pongs that
// answer no ping.
func (s *session) progress() progress {
	if acked, ok := s.conn.Acked(); ok {
		return progress{acked, s.conn.Received()}
	}
	return progress{uint64(s.sent.Load()) - uint64(s.conn.Buffered()), s.conn.Received()}
}

// pongReporter reports, once for each time, that a server that lives confirms nothing.
type pongReporter struct {
	report    func(unconfirmed int64, after time.Duration)
	limit     time.Duration
	confirmed int64
	since     time.Time
	reported  bool
}

// sample takes the position up to which everything is confirmed, and how many bytes are not.
func (p *pongReporter) sample(now time.Time, confirmed, unconfirmed int64) {
	if confirmed != p.confirmed || unconfirmed == 0 || p.since.IsZero() {
		p.confirmed, p.since, p.reported = confirmed, now, false
	}
	if waited := now.Sub(p.since); waited > p.limit && !p.reported {
		p.reported = true
		p.report(unconfirmed, waited)
	}
}

// dropReporter reports what the queue drops, for age or for lack of room, while there is a connection.
type dropReporter struct {
	report  func(dropped, held int64)
	sampled bool
	dropped int64 // at the last sample
}

// sample compares c with the last sample. The first one only counts: the line about the new connection reports what was
// dropped before it.
func (s *dropReporter) sample(c stream.Counts) {
	dropped := c.Dropped.Age + c.Dropped.Full
	if s.sampled && dropped > s.dropped {
		s.report(dropped-s.dropped, c.Held)
	}
	s.sampled, s.dropped = true, dropped
}
