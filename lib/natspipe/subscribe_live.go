package natspipe

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pendingLimit is how many bytes nats.go may hold for a subscription. The queue takes them at once.
	pendingLimit = 64 << 20
	// seamTries is how often the retained stream is read for what is missing: it may be a moment behind.
	seamTries = 10
	seamPause = 20 * time.Millisecond
)

// receiveLive receives over core NATS until the connection ends. It begins with what is retained.
func (s *Subscriber) receiveLive(ctx context.Context, l *link) error {
	sub, err := l.nc.SubscribeSync(s.o.Subject)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, pendingLimit); err != nil {
		return err
	}
	s.hopeless = false
	if s.o.Retain != "" {
		if err := s.fill(ctx, l, position{}); err != nil {
			return cause(l, err)
		}
	}
	for {
		m, err := sub.NextMsgWithContext(l.ctx)
		if err == nats.ErrSlowConsumer {
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
		for try := range seamTries {
			if s.o.Retain == "" || s.hopeless || !s.follower.lacks(p) {
				break
			}
			if try > 0 {
				sleep(l.ctx, seamPause)
			}
			if err := s.fill(ctx, l, p); err != nil {
				return cause(l, err)
			}
		}
		s.hopeless = s.follower.lacks(p)
		if err := s.receive(ctx, m, p, 0); err != nil {
			return err
		}
	}
}

// fill receives what is retained of the stream that is followed, or of that of p. It returns an error only if ctx ends.
func (s *Subscriber) fill(ctx context.Context, l *link, p position) error {
	err := history(l.ctx, l, s.o.Retain, s.o.Subject, func(m *nats.Msg) error {
		at, err := parsePosition(m)
		if err != nil || s.follower.id != "" && at.id != s.follower.id && at.id != p.id {
			return nil // of another publisher, maybe an earlier one
		}
		return s.receive(ctx, m, at, 0)
	})
	if err == nil || ctx.Err() != nil || l.ctx.Err() != nil {
		return err
	}
	s.hopeless = true
	s.o.Log.Warn("retained", "nothing to begin with; the next group of pictures is waited for", "err", err)
	return nil
}
