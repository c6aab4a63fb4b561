package natspipe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// Subscriber writes the stream of a subject to an output.
type Subscriber struct {
	o         Options
	connector *connector
	account   *stream.Account
	queue     *stream.Queue
	output    *stream.Output
	follower  follower
	gaps      int
	source    source
	reader    *stream.Reader // of source; nil: nothing has come

	// Of live.
	format   stream.Format
	splice   bool   // what comes next follows nothing that came
	bare     bool   // it has begun where a decoder cannot
	left     string // the id of the stream that was followed before
	hopeless bool   // what is missing is not retained either
	barred   bool   // from what is retained, and not to ask for it over the next connection

	// Without live.
	next     map[string]int64 // the position that comes next, of each run of a publisher
	created  time.Time        // the JetStream stream
	passed   uint64           // the number in the JetStream stream of the last message that was written
	rewind   uint64           // how many messages before that one to begin; 0: nothing is missing
	gapSince time.Time        // with rewind
}

// NewSubscriber returns a subscriber. It fails if the credentials cannot be read.
func NewSubscriber(o Options) (*Subscriber, error) {
	c, err := newConnector(&o, o.DeadAfter/2)
	if err != nil {
		return nil, err
	}
	s := &Subscriber{o: o, connector: c, next: map[string]int64{}}
	c.o = &s.o
	if !o.Live {
		s.newReader(stream.Raw)
	}
	s.account = o.Ledger.Open("stdout")
	s.queue = stream.NewQueue(stream.QueueOptions{
		Live: o.Live, StartAtKeyframe: o.Live, OnChange: stream.AnnounceChange,
		Buffer: o.Buffer, MaxAge: o.MaxAge, Account: s.account, Warn: s.warn,
	})
	return s, nil
}

func (s *Subscriber) warn(message, hint string) { s.o.Log.Warn(message, message, "hint", hint) }

// Gaps is how often something was missing in what came, once Run has returned.
func (s *Subscriber) Gaps() int { return s.gaps }

// Run writes what comes until soft ends, and then what is held, for Linger at most. When hard ends, it stops. It
// returns ErrOutputGone, or why the stream cannot be followed or written.
func (s *Subscriber) Run(soft, hard context.Context, out Output) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancelCause(hard) // ends all
	defer stop(nil)
	receiving, end := context.WithCancel(ctx)
	defer end()
	linger := sync.OnceFunc(func() { time.AfterFunc(s.o.Linger, func() { stop(errLinger) }) })
	defer context.AfterFunc(soft, func() {
		linger()
		end()
	})()
	defer context.AfterFunc(ctx, func() { _ = out.SetWriteDeadline(time.Unix(1, 0)) })()
	running.Go(func() {
		select {
		case <-out.Gone():
			stop(ErrOutputGone)
		case <-ctx.Done():
		}
	})
	s.output = stream.NewOutput(s.queue, out)

	var writing sync.WaitGroup
	writing.Go(func() {
		switch err := s.output.Run(ctx); {
		case errors.Is(err, syscall.EPIPE):
			stop(ErrOutputGone)
		case err != nil:
			stop(fmt.Errorf("write the stream: %w", err))
		}
	})
	// Without live a connection outlives receiving, to acknowledge what is written then.
	hold, receive := ctx, func(l *link) error { return s.receiveLossless(receiving, ctx, l) }
	if s.o.Live {
		hold, receive = receiving, s.receiveLive
	}
	received := keepConnected(receiving, hold, s.connector, func() bool { return false }, func(l *link) error {
		s.account.AddConnects()
		return receive(l)
	})
	linger() // what has been received is written, though no more is
	s.endReader()
	s.queue.End()
	writing.Wait()
	s.queue.Abort(stream.Shutdown)
	if err := context.Cause(ctx); err != nil && err != errLinger {
		return err
	}
	return received
}
