package natspipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/lib/stream"
)

// sendPause is the pause before a message is sent again that no stream has answered.
const sendPause = 250 * time.Millisecond

// sendLossless sends through JetStream. One message is under way at a time, as long as the server takes it: more could
// be stored in another order when a leader changes in between. It returns nil when the queue has ended.
func (p *Publisher) sendLossless(l *link) error {
	js, err := jetstream.New(l.nc)
	if err != nil {
		return err
	}
	if p.o.Create && !p.created {
		if err := p.create(l.ctx, js); err != nil {
			return cause(l, err)
		}
	}
	for {
		for len(p.sent) > 0 {
			if err := p.sendUntilStored(l, js, &p.sent[0]); err != nil {
				return err
			}
			p.sent = p.sent[1:]
		}
		d, err := p.takeWaiting(l.ctx, payloadLimit(l))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return cause(l, err)
		}
		if p.sent, err = p.messages(d, payloadLimit(l)); err != nil {
			return err
		}
		p.account.AddMessages(int64(len(p.sent)))
	}
}

// cause returns why the connection has ended or is useless, or err.
func cause(l *link, err error) error {
	if c := l.check(); c != nil {
		return c
	}
	return err
}

// takeWaiting takes what waits, as far as it fits into one message, or at least one delivery.
func (p *Publisher) takeWaiting(ctx context.Context, limit int) (stream.Delivery, error) {
	d, err := p.queue.Take(ctx)
	if err != nil {
		return d, err
	}
	p.account.AddWritten(&d)
	limit = min(limit, p.o.MaxMessage)
	if len(d.Data) >= limit || p.queue.Waiting() == 0 {
		return d, nil
	}
	all := append(make([]byte, 0, 2*len(d.Data)), d.Data...)
	d.Release()
	for len(all) < limit && p.queue.Waiting() > 0 {
		more, err := p.queue.Take(ctx)
		if err != nil {
			break // what was taken stays, and ctx ends the rest
		}
		p.account.AddWritten(&more)
		all = append(all, more.Data...)
		d.Pos, d.Size = more.Pos, d.Size+more.Size
		more.Release()
	}
	d.Data = all
	return d, nil
}

// sendUntilStored sends a message until a stream has stored it, and confirms it. Its id is the same each time, so it is
// stored once.
func (p *Publisher) sendUntilStored(l *link, js jetstream.JetStream, m *outgoing) error {
	options := []jetstream.PublishOpt{
		jetstream.WithMsgID(strings.ReplaceAll(m.msg.Header.Get(positionHeader), " ", "-")),
		jetstream.WithRetryAttempts(0),
	}
	if p.o.Retain != "" {
		options = append(options, jetstream.WithExpectStream(p.o.Retain))
	}
	for {
		ctx, cancel := context.WithTimeout(l.ctx, p.o.DeadAfter)
		ack, err := js.PublishMsg(ctx, m.msg, options...)
		cancel()
		if err == nil {
			if ack.Duplicate && !m.sent {
				return fatalf("the stream %s has a message of this id already, and has not stored this one", ack.Stream)
			}
			p.confirmed = true
			if m.last {
				p.queue.Confirm(m.d.Pos)
				m.d.Release()
			}
			return nil
		}
		if err = p.judge(l, js, err); l.ctx.Err() != nil || isFatal(err) {
			return cause(l, err)
		}
		p.o.Log.Warn("stored", "not stored, and is sent again", "err", err)
		if m.sent = true; m.last {
			p.account.AddWritten(&stream.Delivery{Data: m.msg.Data, Size: len(m.msg.Data), Redelivered: true})
		}
		sleep(l.ctx, sendPause)
	}
}

// judge makes what waiting does not cure fatal.
func (p *Publisher) judge(l *link, js jetstream.JetStream, err error) error {
	var api *jetstream.APIError
	switch {
	case l.check() != nil:
		return l.check()
	case errors.Is(err, nats.ErrMaxPayload):
		return &fatalError{err}
	case errors.As(err, &api) && strings.HasPrefix(api.Description, "maximum "):
		return hinted("make room in it: nats stream purge, or higher limits", "the stream is full: %w", err)
	case errors.As(err, &api) && strings.Contains(api.Description, "size exceeds"):
		return hinted("give --max-message less than the stream's max_msg_size", "a message is too long: %w", err)
	case errors.As(err, &api) && api.Code != 503:
		return &fatalError{err}
	case errors.Is(err, jetstream.ErrNoStreamResponse) && !p.confirmed:
		ctx, cancel := context.WithTimeout(l.ctx, p.o.DeadAfter)
		defer cancel()
		_, err = p.o.stream(ctx, js)
	}
	return err
}

// stream returns the name of the JetStream stream that holds the subject. That there is none is fatal.
func (o *Options) stream(ctx context.Context, js jetstream.JetStream) (name string, err error) {
	if o.Retain == "" {
		name, err = js.StreamNameBySubject(ctx, o.Subject)
	} else if _, err = js.Stream(ctx, o.Retain); err == nil {
		name = o.Retain
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return "", hinted("create it with --create and --retain NAME", "no JetStream stream holds %s: %w", o.Subject,
			err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "", hinted("enable it: jetstream {} in the server's configuration, and for the account",
			"the servers have no JetStream: %w", err)
	case err != nil:
		return "", fmt.Errorf("look for the JetStream stream of %s: %w", o.Subject, err)
	}
	return name, nil
}
