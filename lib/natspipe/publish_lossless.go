package natspipe

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/lib/stream"
)

// sendLossless sends through JetStream. One message is under way at a time: more could be stored in another order when
// a leader changes in between. It returns nil when the queue has ended.
func (p *Publisher) sendLossless(l *link) error {
	err := p.storeAll(l)
	if p.barred = p.o.refusedBeside(err); p.barred && p.confirmed {
		return outlived(err) // it was only asked whether the stream is there
	}
	return err
}

func (p *Publisher) storeAll(l *link) error {
	s, err := newStore(l)
	if err == nil && p.o.Create && !p.created {
		err = p.createStream(l.ctx, l.js)
	}
	if err == nil {
		err = p.cutAgain(payloadLimit(l))
	}
	for err == nil {
		for len(p.sent) > 0 {
			if err := p.sendUntilStored(s, &p.sent[0]); err != nil {
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

// cutAgain cuts what is not stored where this server takes only shorter messages than the one that it was cut for. That
// one may have stored the first: subscribers have it then, and leave out its parts.
func (p *Publisher) cutAgain(limit int) error {
	if !slices.ContainsFunc(p.sent, func(m outgoing) bool { return len(m.msg.Data) > limit }) {
		return nil
	}
	for _, m := range p.sent {
		p.pos -= int64(len(m.msg.Data))
	}
	var all []outgoing
	for _, m := range p.sent {
		d := p.sent[len(p.sent)-1].d
		d.Data = m.msg.Data
		parts, err := p.messages(d, limit)
		if err != nil {
			return err
		}
		parts[0].sent, parts[len(parts)-1].last = m.sent, m.last
		all = append(all, parts...)
	}
	p.sent = all
	return nil
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

// store has messages stored over a connection.
type store struct {
	*link
	answers *nats.Subscription
	inbox   string // of the answers, without the id of the message
}

func newStore(l *link) (s *store, err error) {
	s = &store{link: l, inbox: l.nc.NewInbox()}
	s.answers, err = l.nc.SubscribeSync(s.inbox + ".*")
	return s, err
}

// sendUntilStored sends a message until a stream has stored it, and confirms it. Its id is the same each time, so it is
// stored once.
func (p *Publisher) sendUntilStored(s *store, m *outgoing) error {
	for {
		again := m.sent
		if again && m.last {
			p.account.AddWritten(&stream.Delivery{Data: m.msg.Data, Size: len(m.msg.Data), Redelivered: true})
		}
		m.sent = true // also if the connection ends meanwhile: the stream may have it
		answer, err := s.send(m.msg)
		if err == nil {
			if answer.Duplicate && !again {
				return fatalf("the stream %s has a message of this id already, and has not stored this one",
					answer.Stream)
			}
			p.confirmed = true
			if m.last {
				p.queue.Confirm(m.d.Pos)
				m.d.Release()
			}
			return nil
		}
		if err = p.judge(s, err); s.ctx.Err() != nil || isFatal(err) {
			return cause(s.link, err)
		}
		p.o.Log.Warn("stored", "not stored, and is sent again", "err", err)
		sleep(s.ctx, askPause)
	}
}

// stored is the answer of a JetStream stream to a message.
type stored struct {
	Stream    string              `json:"stream"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`
}

// errNoAnswer says that no stream has answered.
var errNoAnswer = errors.New("no answer from the JetStream stream")

// send sends a message and returns the answer of its stream. The time for that begins when the server has the message:
// a slow link may take longer to carry it.
func (s *store) send(m *nats.Msg) (answer stored, err error) {
	m.Reply = s.inbox + "." + m.Header.Get(jetstream.MsgIDHeader)
	if err := s.nc.PublishMsg(m); err != nil {
		return answer, err
	}
	answer, err = s.answer(m.Reply, askPause)
	if err == nats.ErrTimeout {
		if err = s.flush(s.ctx); err == nil {
			answer, err = s.answer(m.Reply, answerTimeout)
		}
	}
	if err == nats.ErrTimeout {
		err = errNoAnswer
	}
	return answer, err
}

// answer waits so long for the answer of a stream to one message, or to an earlier try of it: the way there and back
// may take longer than that. It leaves out what another program answers.
func (s *store) answer(to string, wait time.Duration) (answer stored, err error) {
	for {
		m, err := s.answers.NextMsg(wait)
		if err != nil {
			return answer, err
		}
		answer = stored{}
		switch err := json.Unmarshal(m.Data, &answer); {
		case err != nil || m.Subject != to:
		case answer.Error != nil:
			return answer, answer.Error
		case answer.Stream != "":
			return answer, nil
		}
	}
}

// errMessageInProcess is JetStream's code for a message id that is being stored, which no majority has yet done.
const errMessageInProcess = 10158

// judge makes what waiting does not cure fatal.
func (p *Publisher) judge(s *store, err error) error {
	var api *jetstream.APIError
	switch {
	case s.check() != nil:
		return s.check()
	case errors.Is(err, nats.ErrMaxPayload): // the server takes less than a moment ago
		s.lose(err)
	case errors.As(err, &api) && strings.HasPrefix(api.Description, "maximum "):
		return hinted("make room in it: nats stream purge, or higher limits", "the stream is full: %w", err)
	case errors.As(err, &api) && strings.Contains(api.Description, "size exceeds"):
		return hinted("give --max-message less than the stream's max_msg_size", "a message is too long: %w", err)
	case errors.As(err, &api) && settled(err) && api.ErrorCode != errMessageInProcess:
		return fatalf("%w", err)
	case errors.Is(err, nats.ErrNoResponders), err == errNoAnswer:
		return cmp.Or(p.checkStream(s), err)
	}
	return err
}

// checkStream returns why no stream will ever confirm a message. That JetStream is away is no reason if it was there.
func (p *Publisher) checkStream(s *store) error {
	if p.barred {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, answerTimeout)
	defer cancel()
	stream, err := p.o.findStream(ctx, s.js)
	switch {
	case isFatal(err) && (!p.confirmed || errors.Is(err, jetstream.ErrStreamNotFound)):
		return err
	case err != nil:
		return nil
	case !p.confirmed && !holds(stream.Config.Subjects, p.o.Subject): // else an account maps it
		return hinted("add the subject to the stream", "the JetStream stream %s holds %q, not %s", stream.Config.Name,
			stream.Config.Subjects, p.o.Subject)
	case stream.Config.NoAck:
		return hinted("set no_ack of the stream to false", "the JetStream stream %s confirms nothing",
			stream.Config.Name)
	}
	return nil
}
