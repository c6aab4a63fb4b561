package natspipe

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/timdrysdale/vw/lib/stream"
)

const (
	// pendingLimit is how many bytes nats.go may hold for a subscription. The queue takes them at once.
	pendingLimit = 64 << 20
	// seamFor, times the first wait, is how long what is retained may be behind what has come. After that the next
	// group is waited for.
	seamFor   = 4
	seamPause = 20 * time.Millisecond
	// maxHold is how long part of a message may wait for the next one, which says what it is.
	maxHold = 20 * time.Millisecond
)

// receiveLive receives over core NATS until the connection ends. It begins with what is retained.
func (s *Subscriber) receiveLive(l *link) error {
	err := s.followLive(l)
	s.barred = s.o.refusedBeside(err)
	if s.follower.id != "" && errors.Is(err, nats.ErrPermissionViolation) {
		return outlived(err)
	}
	return err
}

func (s *Subscriber) followLive(l *link) error {
	sub, err := l.nc.SubscribeSync(s.o.Subject)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, pendingLimit); err != nil {
		return err
	}
	askable := s.o.Retain != "" && !s.barred
	s.hopeless = !askable
	if err := s.fill(l, position{start: true}); err != nil {
		return err
	}
	if s.follower.id == "" && s.hopeless != askable { // else it is said
		s.o.Log.Info("waiting", "the next group of pictures is waited for", "subject", s.o.Subject)
	}
	for wait := time.Hour; ; {
		m, err := sub.NextMsg(wait)
		if err == nats.ErrTimeout {
			if wait = time.Hour; s.reader != nil {
				err = s.put(l.ctx, nil)
			}
		}
		if err == nats.ErrSlowConsumer || m == nil && err == nil {
			continue // the position of the next message says what that cost
		}
		if err != nil {
			return cause(l, err)
		}
		p, err := parsePosition(m)
		if err != nil {
			s.o.Log.Warn("foreign", "a message is left out", "subject", s.o.Subject, "err", err)
			continue
		}
		if s.follower.lacks(p) {
			if err := s.fill(l, p); err != nil {
				return err
			}
		}
		s.hopeless = !askable || s.follower.lacks(p)
		if err := s.receive(m, p); err != nil {
			return err
		}
		if s.reader != nil && s.reader.Pending() > 0 {
			wait = maxHold
		}
	}
}

// errReplaced says that a newer group of pictures has replaced the one that is read.
var errReplaced = errors.New("another group of pictures has begun")

// Why there is nothing to begin with.
var (
	errNoneRetained = errors.New("no server has this JetStream stream, which pub --create makes")
	errNotWhole     = errors.New("the current group of pictures is older than a minute, or longer than --buffer of pub")
)

// fill receives what is retained, of the stream that is followed or of that of p, until p lacks nothing, or no more is
// to be had. It returns an error only if the connection ends.
func (s *Subscriber) fill(l *link, p position) error {
	if s.hopeless {
		return nil
	}
	h, err := newHistory(l, s.o.Retain, s.o.Subject)
	if err != nil {
		return cause(l, err)
	}
	defer h.close()
	take := func(m *nats.Msg) error {
		at, err := parsePosition(m)
		switch {
		case err != nil, s.follower.id != "" && at.id != s.follower.id && at.id != p.id:
			return nil // of another publisher, maybe an earlier one
		case at.id == s.follower.id && s.follower.lacks(at) && (p.id != at.id || p.pos < at.pos && !at.start):
			return errReplaced // what is missing before it may be on its way
		}
		return s.receive(m, at)
	}
	for began := time.Now(); ; sleep(l.ctx, seamPause) {
		err := h.read(take)
		switch {
		case l.ctx.Err() != nil, isFatal(err):
			return cause(l, err)
		case (err == nil || err == errReplaced) && !s.follower.lacks(p):
			return nil
		case err == nil && time.Since(began) < seamFor*h.wait:
			continue
		case err == nil && p.id != s.follower.id:
			err = errNotWhole
		case err == nats.ErrNoResponders:
			err = errNoneRetained
		}
		if err != nil && err != errReplaced {
			s.o.Log.Warn("retained", "nothing to begin with; the next group of pictures is waited for", "stream",
				s.o.Retain, "err", err)
		}
		s.hopeless = true
		return nil
	}
}

// receive passes on what of a message is new.
func (s *Subscriber) receive(m *nats.Msg, p position) error {
	before := s.follower.id
	what, missing := s.follower.follow(p, len(m.Data)-p.front)
	switch what {
	case skipped:
		return nil
	case begins:
		if p.id == s.left {
			s.o.Log.Warn("publishers", "two publishers are on the subject; parts of each are left out", "subject",
				s.o.Subject, "hint", "give each camera a subject of its own")
		}
		s.left = before
		if s.format = s.o.Format; s.format == stream.Auto && isTS(m.Data) {
			s.format = stream.TS
		} else if s.format == stream.Auto {
			s.format = stream.Raw
		}
	case gap:
		s.gaps++
		s.o.Log.Warn("gap", "part of the stream is missing", "bytes", missing, "gaps", s.gaps)
	}
	if what != next {
		s.splice = s.reader != nil
		s.endReader()
		s.o.Ledger.AddIn(int(missing))
		s.queue.Missed(missing)
		s.newReader(s.format)
		s.bare = true
	}
	data := m.Data[p.front:]
	if s.bare && p.start {
		data, s.bare = m.Data, false
	}
	return s.put(context.Background(), data) // a live queue takes it at once
}
