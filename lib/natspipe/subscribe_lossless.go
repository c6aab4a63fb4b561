package natspipe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// ackWait is the time after which the server sends a message again that was not acknowledged.
	ackWait = time.Minute
	// gapTimeout is how long what is missing is looked for. A server that was cut off from the others may leave out
	// messages, or number them differently, until it has caught up.
	gapTimeout = 30 * time.Second
)

// receiveLossless receives through the durable consumer until ctx or the connection ends. What it has received it
// writes until writing ends.
func (s *Subscriber) receiveLossless(ctx, writing context.Context, l *link) error {
	for {
		err := s.consume(ctx, writing, l)
		if !errors.Is(err, errBeginAgain) {
			return err
		}
		s.o.Log.Warn("begins again", "part of the stream is looked for", "err", err)
		sleep(ctx, askPause)
	}
}

// consume receives through the consumer, in order, and acknowledges each message when the output has taken it.
func (s *Subscriber) consume(ctx, writing context.Context, l *link) error {
	stream, err := s.resetConsumer(ctx, l.js)
	if err != nil {
		return cause(l, err)
	}
	p, err := newPull(l, stream, s.o.Durable)
	if err != nil {
		return cause(l, err)
	}
	defer p.stop()
	defer context.AfterFunc(ctx, p.stop)()
	for last := uint64(0); ; last++ { // of the consumer's numbers, which begin with 1 and have no gaps
		m, err := p.next()
		switch {
		case ctx.Err() != nil: // what is not acknowledged comes again
			return l.nc.FlushTimeout(min(s.o.Linger, s.o.DeadAfter) + time.Millisecond)
		case err != nil:
			return cause(l, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if n := meta.Sequence.Consumer; n != last+1 {
			return fmt.Errorf("%w: message %d came after %d", errBeginAgain, n, last)
		}
		if err := s.pass(writing, m, meta.Sequence.Stream); err != nil {
			return err
		}
		if err := m.Respond(nil); err != nil {
			return cause(l, err)
		}
	}
}

// resetConsumer lets the durable consumer begin after the last message that was written, or by an earlier run
// acknowledged: else what a connection that died has not delivered would come after newer messages. It returns the name
// of the JetStream stream.
func (s *Subscriber) resetConsumer(ctx context.Context, js jetstream.JetStream) (name string, err error) {
	stream, err := s.o.awaitStream(ctx, js)
	if err != nil {
		return "", err
	}
	name = stream.Config.Name
	consumer, err := ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		consumer, err := js.Consumer(ctx, name, s.o.Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
				Durable: s.o.Durable, FilterSubject: s.o.Subject, AckPolicy: jetstream.AckAllPolicy, AckWait: ackWait,
			})
		}
		return consumer, err
	})
	if errors.Is(err, jetstream.ErrNotPullConsumer) ||
		err == nil && !delivers(consumer.CachedInfo().Config, s.o.Subject) {
		return "", fatalf("the consumer %s of the stream %s is not one of vw-nats for %s: choose another name",
			s.o.Durable, name, s.o.Subject)
	}
	if err != nil {
		return "", unsettled(err, "consumer %s of the stream %s", s.o.Durable, name)
	}
	s.recognize(stream, consumer.CachedInfo().AckFloor.Stream)
	_, err = ask(ctx, func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
		answer, err := js.ResetConsumerToSequence(ctx, name, s.o.Durable, s.passed+1-min(s.passed, s.rewind))
		if errors.Is(err, nats.ErrNoResponders) {
			err = fmt.Errorf("%w: it has no leader, or a server that cannot do it", context.DeadlineExceeded)
		}
		return answer, err
	})
	if err != nil {
		return "", unsettled(err, "let the consumer %s begin after message %d", s.o.Durable, s.passed)
	}
	return name, nil
}

// unsettled says what failed. An error that waiting does not cure is fatal, unless what is not there can be made anew.
func unsettled(err error, format string, args ...any) error {
	var api *jetstream.APIError
	what := fmt.Sprintf(format, args...)
	switch {
	case errors.As(err, &api) && api.Code == 404:
		return fmt.Errorf("%w: %s: %w", errBeginAgain, what, err)
	case settled(err):
		return fatalf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// delivers reports whether a consumer delivers all messages of a subject, and nothing else, as vw-nats needs it.
func delivers(c jetstream.ConsumerConfig, subject string) bool {
	return c.AckPolicy == jetstream.AckAllPolicy && c.DeliverPolicy == jetstream.DeliverAllPolicy &&
		c.ReplayPolicy == jetstream.ReplayInstantPolicy && c.PriorityPolicy == jetstream.PriorityPolicyNone &&
		c.FilterSubject == subject && !c.HeadersOnly
}

// recognize learns what was delivered up to now, and whether the JetStream stream is still the one it was: another one
// of the same name numbers its messages anew.
func (s *Subscriber) recognize(stream *jetstream.StreamInfo, acknowledged uint64) {
	first := stream.State.FirstSeq
	switch {
	case s.created.IsZero():
		if s.passed = acknowledged; s.passed > 0 && first > s.passed+1 {
			s.o.Log.Warn("deleted", "the JetStream stream has deleted messages that may be part of the stream", "from",
				s.passed+1, "to", first-1)
		}
	case !stream.Created.Equal(s.created):
		s.o.Log.Warn("another", "the JetStream stream is another one now, and begins anew", "stream",
			stream.Config.Name)
		s.passed, s.rewind = 0, 0
	}
	s.created, s.passed = stream.Created, min(s.passed, stream.State.LastSeq)
}

// maxRuns is how many runs of publishers are remembered.
const maxRuns = 1000

// pass writes the message of that number, if it was not written before, and returns when the output has taken it.
func (s *Subscriber) pass(ctx context.Context, m *nats.Msg, seq uint64) error {
	data := m.Data
	p, err := parsePosition(m)
	at, known := s.next[p.id]
	switch missing := p.pos - at; {
	case known && missing < 0, !known && seq <= s.passed:
		return nil
	case known && missing > 0:
		return s.lookBack(missing)
	case !known && len(s.next) > 0 && seq > s.passed+1 && (missing > 0 || s.rewind == 0):
		// The numbers between may be the end of another run. Or they are of other subjects, or gone: if nothing of this
		// run is missing, they are looked for only once.
		return s.lookBack(missing)
	}
	if err == nil { // else it is of another program, and has no position
		data = data[p.front:]
		if len(s.next) >= maxRuns {
			clear(s.next)
		}
		s.next[p.id] = p.pos + int64(len(data))
		s.rewind = 0
	}
	if err := s.put(ctx, data); err != nil {
		return err
	}
	s.passed = max(s.passed, seq)
	return s.queue.Flush(ctx)
}

// lookBack has the consumer begin earlier. It returns an error, which is fatal when so many bytes have been missing for
// gapTimeout: then the stream has them no more.
func (s *Subscriber) lookBack(missing int64) error {
	switch {
	case s.rewind == 0:
		s.rewind, s.gapSince = pullMessages, time.Now()
	case time.Since(s.gapSince) > gapTimeout:
		return hinted("let the stream keep more: max_age, max_bytes; the next start goes on after the gap",
			"%d bytes are missing in the JetStream stream", missing)
	default:
		s.rewind = min(2*s.rewind, max(s.passed, pullMessages))
	}
	return fmt.Errorf("%w: %d bytes of this run are missing, or the end of another", errBeginAgain, missing)
}
