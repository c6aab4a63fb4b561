package natspipe

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/lib/stream"
)

// sendLossless sends through JetStream. One message is under way at a time: more could be stored in another order when
// a leader changes in between. It returns nil when the queue has ended.
func (p *Publisher) sendLossless(l *link) error {
	js, err := jetstream.New(l.nc, jetstream.WithPublishAsyncTimeout(flushTimeout))
	if err != nil {
		return err
	}
	err = p.createStream(l.ctx, js)
	for err == nil {
		for len(p.sent) > 0 {
			if err := p.sendUntilStored(l, js, &p.sent[0]); err != nil {
				return err
			}
			p.sent = p.sent[1:]
		}
		var d stream.Delivery
		if d, err = p.takeWaiting(l.ctx, payloadLimit(l)); err != nil {
			break
		}
		p.sent, err = p.messages(d, payloadLimit(l))
		p.account.AddMessages(int64(len(p.sent)))
	}
	if err == io.EOF {
		return nil
	}
	return cause(l, err)
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
	for {
		again := m.sent
		if again && m.last {
			p.account.AddWritten(&stream.Delivery{Data: m.msg.Data, Size: len(m.msg.Data), Redelivered: true})
		}
		m.sent = true // also if the connection ends meanwhile: the stream may have it
		ack, err := p.sendOnce(l, js, m)
		if err == nil {
			if ack.Duplicate && !again {
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
		sleep(l.ctx, askPause)
	}
}

// errNoAnswer says that no stream has answered.
var errNoAnswer = errors.New("no answer from the JetStream stream")

// sendOnce sends a message and returns the answer of its stream. The time for that begins when the server has the
// message: a slow link may take longer to carry it.
func (p *Publisher) sendOnce(l *link, js jetstream.JetStream, m *outgoing) (*jetstream.PubAck, error) {
	options := []jetstream.PublishOpt{
		jetstream.WithMsgID(strings.ReplaceAll(m.msg.Header.Get(positionHeader), " ", "-")),
		jetstream.WithRetryAttempts(0),
	}
	if p.o.Retain != "" {
		options = append(options, jetstream.WithExpectStream(p.o.Retain))
	}
	answer, err := js.PublishMsgAsync(m.msg, options...)
	if err != nil {
		return nil, err
	}
	flushed := false
	for timeout := time.NewTimer(askPause); ; {
		select {
		case ack := <-answer.Ok():
			return ack, nil
		case err := <-answer.Err():
			return nil, err
		case <-l.ctx.Done():
			return nil, l.err()
		case <-timeout.C:
			if flushed {
				return nil, errNoAnswer
			}
			if err := l.flush(l.ctx); err != nil {
				return nil, err
			}
			flushed = true
			timeout.Reset(answerTimeout)
		}
	}
}

// errMessageInProcess is JetStream's code for a message id that is being stored, which no majority has yet done.
const errMessageInProcess = 10158

// judge makes what waiting does not cure fatal.
func (p *Publisher) judge(l *link, js jetstream.JetStream, err error) error {
	var api *jetstream.APIError
	switch {
	case l.check() != nil:
		return l.check()
	case errors.Is(err, nats.ErrMaxPayload):
		return fatalf("%w", err)
	case errors.As(err, &api) && strings.HasPrefix(api.Description, "maximum "):
		return hinted("make room in it: nats stream purge, or higher limits", "the stream is full: %w", err)
	case errors.As(err, &api) && strings.Contains(api.Description, "size exceeds"):
		return hinted("give --max-message less than the stream's max_msg_size", "a message is too long: %w", err)
	case errors.As(err, &api) && api.Code != 503 && api.ErrorCode != errMessageInProcess:
		return fatalf("%w", err)
	case errors.Is(err, jetstream.ErrNoStreamResponse) && !p.confirmed:
		ctx, cancel := context.WithTimeout(l.ctx, answerTimeout)
		defer cancel()
		if _, missing := p.o.findStream(ctx, js); isFatal(missing) {
			return missing
		}
	}
	return err
}
