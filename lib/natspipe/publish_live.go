package natspipe

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// flushEvery is the pause between two pings.
	flushEvery = 250 * time.Millisecond
	// windowPart is the part of the buffer that may be unconfirmed before the sender waits.
	windowPart = 4
)

// errLost says that a connection ended with something unconfirmed.
var errLost = errors.New("the connection has ended")

// sendLive sends over core NATS. It begins with what was sent before and not confirmed: subscribers that have it skip
// it. A pong confirms what was sent before its ping: the server has taken that. It returns nil when the queue has ended
// and everything is confirmed.
func (p *Publisher) sendLive(l *link) error {
	err := p.sendAgain(l)
	if err == nil {
		ctx, cancel := context.WithCancel(l.ctx)
		defer cancel()
		ended := make(chan struct{})
		var running sync.WaitGroup
		running.Go(func() { p.createLive(ctx, l) })
		running.Go(func() { p.confirmLive(ctx, l, ended) })
		if err = p.publishLive(ctx, l); err == nil {
			close(ended)
		} else {
			l.lose(cause(l, err)) // the end of ctx would be taken for the reason
		}
		running.Wait()
	}
	if err == nil && len(p.sent) > 0 {
		err = errLost
	}
	err = cause(l, err)
	p.barred = p.o.refusedBeside(err)
	if p.confirmed && (p.created || !p.o.Create) {
		return outlived(err)
	}
	return err
}

// createLive looks whether there is a stream of the current group, or creates it, beside what is sent, which must not
// wait for it. It is looked for with each connection: a server that restarts has forgotten it.
func (p *Publisher) createLive(ctx context.Context, l *link) {
	for ; p.o.Retain != "" && !p.barred && ctx.Err() == nil; sleep(ctx, time.Second) {
		var err error = jetstream.ErrStreamNotFound
		if !p.o.Create || p.created {
			_, err = p.o.awaitStream(ctx, l.js)
		}
		if p.o.Create && errors.Is(err, jetstream.ErrStreamNotFound) {
			err = p.createStream(ctx, l.js)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if p.o.Create && !p.created && isFatal(err) {
			l.lose(err)
			return
		}
		p.o.Log.Warn("retain", "no stream for the current group of pictures", "err", err, "hint", Hint(err))
		if isFatal(err) {
			return
		}
	}
}

// sendAgain sends what is not confirmed. What is too old for that is lost: it would hold up what is new, on a link that
// was too slow for it. So is what is too long for this server.
func (p *Publisher) sendAgain(l *link) error {
	first := slices.IndexFunc(p.sent, func(m outgoing) bool { return m.last })
	if first >= 0 && p.o.MaxAge > 0 && time.Since(p.sent[first].d.ReceivedAt) > p.o.MaxAge+p.o.DeadAfter {
		p.loseSent("it is too old")
	}
	for _, m := range p.sent {
		err := l.nc.PublishMsg(m.msg)
		if err == nats.ErrMaxPayload {
			p.loseSent("the server takes only shorter messages")
			return nil
		}
		if err != nil {
			return err
		}
		if m.last {
			d := m.d
			d.Redelivered = true
			p.account.AddWritten(&d)
		}
	}
	p.account.AddMessages(int64(len(p.sent)))
	return nil
}

func (p *Publisher) loseSent(why string) {
	p.o.Log.Warn("unconfirmed", "what was not confirmed is lost: "+why)
	for _, m := range p.sent {
		m.d.Release()
	}
	p.sent, p.unacked = nil, 0
	p.queue.Requeue()
}

// publishLive publishes until the queue has ended.
func (p *Publisher) publishLive(ctx context.Context, l *link) error {
	for {
		for p.full() {
			p.pingNow.Set()
			select {
			case <-p.room:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		d, err := p.queue.Take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		all, err := p.messages(d, payloadLimit(l))
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.sent = append(p.sent, all...)
		p.unacked += len(d.Data)
		p.mu.Unlock()
		p.account.AddWritten(&d)
		for _, m := range all {
			if err := l.nc.PublishMsg(m.msg); err != nil {
				return err
			}
		}
		p.account.AddMessages(int64(len(all)))
	}
}

// full reports whether so much is unconfirmed that the sender must wait.
func (p *Publisher) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.unacked) >= max(p.o.Buffer/windowPart, 1)
}

// confirmLive pings and confirms, until everything is confirmed after ended, or the connection ends.
func (p *Publisher) confirmLive(ctx context.Context, l *link, ended <-chan struct{}) {
	for last := false; !last; {
		select {
		case <-p.pingNow:
		case <-time.After(flushEvery):
		case <-ended:
			last = true
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		n := len(p.sent)
		p.mu.Unlock()
		if n == 0 {
			continue
		}
		if err := l.flush(ctx); err != nil {
			l.lose(err)
			return
		}
		p.confirmSent(n)
	}
}

// confirmSent confirms the first n messages that were sent.
func (p *Publisher) confirmSent(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.sent[:n] {
		if m.last {
			p.unacked -= len(m.d.Data)
			p.queue.Confirm(m.d.Pos)
			m.d.Release()
		}
	}
	p.sent = slices.Delete(p.sent, 0, n)
	p.confirmed = true
	p.room.Set()
}
