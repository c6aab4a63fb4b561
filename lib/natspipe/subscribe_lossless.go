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
	for last := uint64(0); ; { // of the consumer's numbers, which have no gaps
		m, err := p.next()
		switch {
		case ctx.Err() != nil: // what is not acknowledged comes again
			return l.nc.FlushTimeout(min(s.o.Linger, s.o.DeadAfter) + time.Millisecond)
		case err == nats.ErrTimeout:
			s.o.Log.Warn("heartbeat", "the JetStream consumer is silent; its server may be gone", "to", l.to)
			continue
		case err != nil:
			return cause(l, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if last > 0 && meta.Sequence.Consumer != last+1 {
			return fmt.Errorf("%w: message %d came after %d", errBeginAgain, meta.Sequence.Consumer, last)
		}
		last = meta.Sequence.Consumer
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
// of the consumer's stream.
func (s *Subscriber) resetConsumer(ctx context.Context, js jetstream.JetStream) (name string, err error) {
	found, err := s.o.awaitStream(ctx, js)
	if err != nil {
		return "", err
	}
	name = found.Config.Name
	consumer, err := ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		consumer, err := js.Consumer(ctx, name, s.o.Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
				Durable: s.o.Durable, FilterSubject: s.o.Subject, AckPolicy: jetstream.AckAllPolicy, AckWait: ackWait,
			})
		}
		return consumer, err
	})
	if err != nil {
		return "", fmt.Errorf("consumer %s of the stream %s: %w", s.o.Durable, name, err)
	}
	config := consumer.CachedInfo().Config
	if config.AckPolicy != jetstream.AckAllPolicy || config.DeliverPolicy != jetstream.DeliverAllPolicy ||
		config.FilterSubject != s.o.Subject {
		return "", fatalf("the consumer %s of the stream %s is not one of vw-nats for %s: choose another name",
			s.o.Durable, name, s.o.Subject)
	}
	_, err = ask(ctx, func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
		if s.passed == 0 {
			return js.ResetConsumer(ctx, name, s.o.Durable)
		}
		return js.ResetConsumerToSequence(ctx, name, s.o.Durable, s.passed+1-min(s.passed, s.rewind))
	})
	if err != nil {
		return "", fmt.Errorf("let the consumer %s begin after message %d: %w", s.o.Durable, s.passed, err)
	}
	return name, nil
}

// pass writes the message of that number, if it was not written before, and returns when the output has taken it.
func (s *Subscriber) pass(ctx context.Context, m *nats.Msg, seq uint64) error {
	data := m.Data
	p, err := parsePosition(m)
	another := err != nil || p.id != s.follower.id
	switch {
	case another && seq <= s.passed:
		return nil
	case another && seq > s.passed+1 && s.passed > 0 && s.rewind == 0:
		// The end of the last run may be missing. Or the numbers between are of other subjects, or gone: so only once.
		return s.lookBack(0)
	case !another && p.pos > s.follower.next:
		return s.lookBack(p.pos - s.follower.next)
	}
	if err == nil { // else it is of another program, and has no position
		data = data[p.front:]
		if step, _ := s.follower.follow(p, len(data)); step == skipped {
			return nil
		}
	}
	s.rewind = 0
	if err := s.put(ctx, data); err != nil {
		return err
	}
	s.passed = max(s.passed, seq)
	return s.queue.Flush(ctx)
}

// lookBack has the consumer begin earlier. It returns an error, which is fatal when so many bytes have been
// missing for gapTimeout: then the stream has them no more.
func (s *Subscriber) lookBack(missing int64) error {
	switch {
	case s.rewind == 0:
		s.rewind, s.gapSince = pullMessages, time.Now()
	case time.Since(s.gapSince) > gapTimeout:
		return hinted("let the stream keep more: max_age, max_bytes; the next start goes on after the gap",
			"%d bytes are missing in the JetStream stream", missing)
	default:
		s.rewind *= 2
	}
	return fmt.Errorf("%w: %d bytes are missing", errBeginAgain, missing)
}
