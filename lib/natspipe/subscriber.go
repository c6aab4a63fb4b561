package natspipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/timdrysdale/vw/lib/stream"
)

// Subscriber writes the stream of a subject to an output.
type Subscriber struct {
	o         Options
	connector *connector
	account   *stream.Account
	queue     *stream.Queue
	output    *stream.Output
	sources   chan *source
	follower  follower
	current   *source // the run that is being received
	bare      bool    // it has begun where a decoder cannot
	hopeless  bool    // what is missing is not retained either
	gaps      atomic.Int64

	acks acks // without live
}

// NewSubscriber returns a subscriber. It fails if the credentials cannot be read.
func NewSubscriber(o Options) (*Subscriber, error) {
	c, err := newConnector(&o)
	if err != nil {
		return nil, err
	}
	s := &Subscriber{o: o, connector: c, sources: make(chan *source), acks: newAcks()}
	c.o = &s.o
	s.follower.anywhere = !o.Live
	s.account = o.Ledger.Open("stdout")
	s.queue = stream.NewQueue(stream.QueueOptions{
		Live: o.Live, StartAtKeyframe: o.Live, OnChange: stream.AnnounceChange,
		Buffer: o.Buffer, MaxAge: o.MaxAge, Account: s.account, Warn: s.warn,
	})
	return s, nil
}

func (s *Subscriber) warn(message, hint string) { s.o.Log.Warn(message, message, "hint", hint) }

// Gaps is how often something was missing in what came.
func (s *Subscriber) Gaps() int64 { return s.gaps.Load() }

// Run writes what comes until soft ends, and then what is held, for Linger at most. When hard ends, it stops. It
// returns ErrOutputGone, or why the stream cannot be followed or written.
func (s *Subscriber) Run(soft, hard context.Context, out Output) error {
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
	watched := make(chan struct{})
	defer close(watched)
	go func() {
		select {
		case <-out.Gone():
			stop(ErrOutputGone)
		case <-watched:
		}
	}()
	s.output = stream.NewOutput(s.queue, out)

	var reading, writing sync.WaitGroup
	reading.Go(func() {
		if err := s.read(ctx); err != nil {
			stop(err)
		}
	})
	writing.Go(func() {
		switch err := s.output.Run(ctx); {
		case errors.Is(err, syscall.EPIPE):
			stop(ErrOutputGone)
		case err != nil:
			stop(fmt.Errorf("write the stream: %w", err))
		}
	})
	hold, use := ctx, s.receiveLossless // which acknowledges what is written after the end of soft
	if s.o.Live {
		hold, use = receiving, s.receiveLive
	}
	received := keepConnected(receiving, hold, s.connector, func() bool { return false }, func(l *link) error {
		s.account.AddConnects()
		return use(receiving, l)
	})
	linger() // what has been received is written, though no more is
	if s.current != nil {
		close(s.current.messages)
	}
	close(s.sources)
	reading.Wait()
	s.queue.End()
	writing.Wait()
	s.queue.Abort(stream.Shutdown)
	if err := context.Cause(ctx); err != nil && err != errLinger {
		return err
	}
	return received
}

// read puts what the sources have into the queue. It returns an error if that is no stream of the format.
func (s *Subscriber) read(ctx context.Context) error {
	format := s.o.Format
	if !s.o.Live {
		format = stream.Raw // then nothing is held back at the end of a message
	}
	for src := range s.sources {
		if src.missing > 0 {
			s.o.Ledger.AddIn(int(src.missing))
			s.queue.Missed(src.missing)
		}
		r := stream.NewReader(src, stream.ReaderOptions{Format: format, Warn: s.warn})
		unregister := context.AfterFunc(ctx, r.Stop)
		err := s.copySource(ctx, src, r)
		unregister()
		r.Close()
		if err != io.EOF {
			return err
		}
	}
	return nil
}

func (s *Subscriber) copySource(ctx context.Context, src *source, r *stream.Reader) error {
	for splice := src.splice; ; {
		b, err := r.Next()
		if err != nil {
			return err
		}
		if len(b.Chunks) > 0 {
			b.Chunks[0].Splice, splice = splice, false
		}
		s.o.Ledger.AddIn(b.N)
		_ = s.output.Put(ctx, b) // only ctx ends it, and then Abort counts
		if len(src.current.data) == 0 {
			s.acks.put(src.current.seq)
		}
	}
}

// pass gives the bytes of a message to the reader. ctx must outlive the connection: what is not passed is missing.
func (s *Subscriber) pass(ctx context.Context, m message) error {
	select {
	case s.current.messages <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin begins a new run, after so many missing bytes.
func (s *Subscriber) begin(ctx context.Context, missing int64) error {
	src := newSource(s.current != nil, missing)
	if s.current != nil {
		close(s.current.messages)
		s.current = nil
	}
	select {
	case s.sources <- src:
		s.current = src
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// receive passes on what of a message is new.
func (s *Subscriber) receive(ctx context.Context, m *nats.Msg, p position, seq uint64) error {
	what, missing := s.follower.follow(p, len(m.Data)-p.front)
	switch what {
	case skipped:
		return nil
	case begins, gap:
		if what == gap {
			s.gaps.Add(1)
			s.o.Log.Warn("gap", "part of the stream is missing", "bytes", missing, "gaps", s.gaps.Load())
		}
		if err := s.begin(ctx, missing); err != nil {
			return err
		}
		s.bare = true
	}
	data := m.Data[p.front:]
	if s.bare && p.start {
		data, s.bare = m.Data, false
	}
	s.hopeless = s.hopeless && !p.start
	return s.pass(ctx, message{data, seq})
}
