package natspipe

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// flushEvery is the pause between two pings while data flows.
	flushEvery = 250 * time.Millisecond
	// flushTimeout limits the wait for a pong. A server that is dead is noticed long before.
	flushTimeout = time.Minute
	// windowPart is the part of the buffer that may be unconfirmed before the sender waits.
	windowPart = 4
)

// errLost says that a connection ended with something unconfirmed.
var errLost = errors.New("the connection has ended")

// sendLive sends over core NATS. It begins with what was sent before and not confirmed: subscribers that have it skip
// it. A pong confirms what was sent before its ping: the server has taken that. It returns nil when the queue has ended
// and everything is confirmed.
func (p *Publisher) sendLive(l *link) error {
	ctx, cancel := context.WithCancel(l.ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	created := make(chan error, 1)
	running.Go(func() {
		if p.o.Create && !p.created {
			created <- p.createLive(ctx, l)
		}
		close(created)
	})
	err := p.sendAgain(l)
	if err == nil {
		ended, flushed := make(chan struct{}), make(chan struct{})
		running.Go(func() {
			defer close(flushed)
			p.confirmLive(ctx, l, ended)
		})
		if err = p.publishLive(ctx, l); err == nil {
			close(ended)
			<-flushed
			if failed := <-created; failed != nil {
				return failed
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && len(p.sent) > 0 {
		err = errLost
	}
	if err != nil {
		err = cause(l, err)
	}
	var fatal *fatalError
	if p.confirmed && errors.As(err, &fatal) {
		return fatal.error // it was allowed before, and live outlives what comes after
	}
	return err
}

// sendAgain sends what is not confirmed.
func (p *Publisher) sendAgain(l *link) error {
	for _, m := range p.sent {
		if err := l.nc.PublishMsg(m.msg); err != nil {
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

// publishLive publishes until the queue has ended.
func (p *Publisher) publishLive(ctx context.Context, l *link) error {
	last := time.Now()
	for {
		for p.full() {
			p.wake.Set()
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
		if now := time.Now(); now.Sub(last) > flushEvery {
			last = now
			p.wake.Set()
		}
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
	for {
		last := false
		select {
		case <-p.wake:
		case <-ended:
			last = true
		case <-time.After(2 * flushEvery): // what came last before a pause
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		n := len(p.sent)
		p.mu.Unlock()
		if n > 0 {
			waiting, cancel := context.WithTimeout(ctx, flushTimeout)
			err := l.nc.FlushWithContext(waiting)
			cancel()
			if refusal := l.check(); refusal != nil {
				err = refusal
			}
			if err != nil {
				l.lose(err)
				return
			}
			p.confirmSent(n)
		}
		if last {
			return
		}
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
