package natspipe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/internal/wake"
)

const (
	// pullMessages and pullBytes are how much is asked for at a time.
	pullMessages = 256
	pullBytes    = 8 << 20
	// pullExpiry is how long the server keeps a request. While it does, it sends a sign of life each pullHeartbeat.
	pullExpiry    = 10 * time.Second
	pullHeartbeat = time.Second
	// ackWait is the time after which the server sends a message again that was not acknowledged.
	ackWait = time.Minute
)

// receiveLossless receives through the durable consumer until ctx or the connection ends. At the end of ctx it waits
// until what has been received is written and acknowledged.
func (s *Subscriber) receiveLossless(ctx context.Context, l *link) error {
	js, err := jetstream.New(l.nc)
	if err != nil {
		return err
	}
	consumer, err := s.consumer(ctx, js)
	if err != nil {
		return cause(l, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return cause(l, err)
	}
	defer messages.Stop()
	var acking sync.WaitGroup
	defer acking.Wait()
	acker, stop := context.WithCancel(l.ctx)
	defer stop()
	s.acks.reset()
	acking.Go(func() { s.acknowledge(acker, l) })
	if err := s.receiveInOrder(ctx, l, messages); ctx.Err() == nil {
		return cause(l, err)
	}
	s.acks.wait(l.ctx)
	_ = l.nc.FlushTimeout(min(s.o.Linger, s.o.DeadAfter) + time.Millisecond) // what is not acknowledged comes again
	return nil
}

// consumer returns the durable consumer. It begins after the last message that was acknowledged: else what a connection
// that died has not delivered would come after newer messages.
func (s *Subscriber) consumer(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.o.DeadAfter)
	defer cancel()
	name, err := s.o.stream(ctx, js)
	if err != nil {
		return nil, err
	}
	consumer, err := js.Consumer(ctx, name, s.o.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
			Durable: s.o.Durable, FilterSubject: s.o.Subject, AckPolicy: jetstream.AckAllPolicy, AckWait: ackWait,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s of the stream %s: %w", s.o.Durable, name, err)
	}
	config := consumer.CachedInfo().Config
	if config.AckPolicy != jetstream.AckAllPolicy || config.FilterSubject != s.o.Subject {
		return nil, fatalf("the consumer %s of the stream %s is not one of vw-nats for %s: choose another name",
			s.o.Durable, name, s.o.Subject)
	}
	if _, err := js.ResetConsumer(ctx, name, s.o.Durable); err != nil {
		return nil, fmt.Errorf("let the consumer %s begin after its last acknowledgement: %w", s.o.Durable, err)
	}
	return consumer, nil
}

// receiveInOrder passes on each message that was not passed on before.
func (s *Subscriber) receiveInOrder(ctx context.Context, l *link, messages jetstream.MessagesContext) error {
	var last uint64 // of the consumer's numbers, which have no gaps
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			s.o.Log.Warn("heartbeat", "the JetStream consumer is silent; its server may be gone", "to", l.to)
			continue
		}
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		seq := meta.Sequence.Stream
		if last > 0 && meta.Sequence.Consumer != last+1 {
			return fmt.Errorf("message %d of the consumer came after %d", meta.Sequence.Consumer, last)
		}
		last = meta.Sequence.Consumer
		if seq > s.acks.passed {
			if err := s.receiveStored(ctx, m, seq); err != nil {
				return err
			}
			s.acks.passed = seq
		}
		s.acks.add(ackable{m, seq})
	}
}

// receiveStored passes on a message. That one is missing before it is fatal: the stream has it no more.
func (s *Subscriber) receiveStored(ctx context.Context, m jetstream.Msg, seq uint64) error {
	plain := &nats.Msg{Header: m.Headers(), Data: m.Data()}
	p, err := parsePosition(plain)
	if err != nil { // of another program: there is no position to check
		if s.current == nil {
			if err := s.begin(ctx, 0); err != nil {
				return err
			}
		}
		return s.pass(ctx, message{plain.Data, seq})
	}
	if p.id == s.follower.id && p.pos > s.follower.next {
		return hinted("let the stream keep more: max_age, max_bytes; the next start goes on after the gap",
			"%d bytes are missing in the JetStream stream", p.pos-s.follower.next)
	}
	return s.receive(ctx, plain, p, seq)
}

// ackable is a message that is still to be acknowledged.
type ackable struct {
	msg jetstream.Msg
	seq uint64
}

// acks are the messages of a connection that are still to be acknowledged.
type acks struct {
	passed uint64 // the sequence number of the last message that was given to the reader; the receiver's

	mu      sync.Mutex
	waiting []ackable
	inQueue uint64 // the number of the last message that is in the queue as a whole
	changed wake.Signal
	acked   wake.Signal
}

func newAcks() acks { return acks{changed: wake.New(), acked: wake.New()} }

// reset forgets the messages of an earlier connection. They come again.
func (a *acks) reset() {
	a.mu.Lock()
	a.waiting = nil
	a.mu.Unlock()
}

func (a *acks) add(m ackable) {
	a.mu.Lock()
	a.waiting = append(a.waiting, m)
	a.mu.Unlock()
	a.changed.Set()
}

// put says that the message of that number is in the queue.
func (a *acks) put(seq uint64) {
	a.mu.Lock()
	a.inQueue = max(a.inQueue, seq)
	a.mu.Unlock()
	a.changed.Set()
}

// take removes the messages up to a number, and returns the last of them: it acknowledges all.
func (a *acks) take(seq uint64) (last ackable) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := a.waiting[:0]
	for _, m := range a.waiting {
		switch {
		case m.seq > seq:
			rest = append(rest, m)
		case m.seq > last.seq:
			last = m
		}
	}
	clear(a.waiting[len(rest):])
	a.waiting = rest
	return last
}

// wait waits until nothing waits.
func (a *acks) wait(ctx context.Context) {
	for {
		a.mu.Lock()
		n := len(a.waiting)
		a.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-a.acked:
		case <-ctx.Done():
			return
		}
	}
}

// acknowledge acknowledges what the output has taken, until ctx ends.
func (s *Subscriber) acknowledge(ctx context.Context, l *link) {
	for {
		select {
		case <-s.acks.changed:
		case <-ctx.Done():
			return
		}
		s.acks.mu.Lock()
		seq := s.acks.inQueue
		s.acks.mu.Unlock()
		if s.queue.Flush(ctx) != nil {
			return
		}
		if m := s.acks.take(seq); m.msg != nil {
			if err := m.msg.Ack(); err != nil {
				l.lose(err)
				return
			}
		}
		s.acks.acked.Set()
	}
}
