package ingest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

var (
	errReplaced = errors.New("another publisher has taken over")
	errStopping = errors.New("the tool was told to stop")
)

// source is the stream of one publisher.
type source interface {
	io.Reader
	SetReadDeadline(time.Time) error
	// end returns, after a Read has failed, how the stream ended: io.EOF if it was complete, nil if it has not ended.
	end() error
}

// publisher is one client that was accepted.
type publisher struct {
	id     int
	remote string
	path   string // as it may be logged
	began  time.Time
	// done is closed when the publisher, and all before it, have put their last byte into the queue.
	done chan struct{}

	mu     sync.Mutex
	reader *stream.Reader // nil before attach
	reason error          // why it was stopped; nil if it was not

	released bool // protected by Server.mu
}

func (s *Server) newPublisher(r *http.Request) *publisher {
	return &publisher{
		remote: r.RemoteAddr,
		path:   s.authorizer.loggable(r.URL.Path),
		began:  time.Now(),
		done:   make(chan struct{}),
	}
}

// stop ends the publisher's stream where it is. The first reason counts.
func (p *publisher) stop(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil {
		p.reason = reason
	}
	if p.reader != nil {
		p.reader.Stop()
	}
}

func (p *publisher) stopReason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// attach makes stop end what the reader reads.
func (p *publisher) attach(r *stream.Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reader = r
	if p.reason != nil {
		r.Stop()
	}
}

// claim makes p the publisher and waits until those before it are done, or returns why p cannot publish.
func (s *Server) claim(p *publisher) *response {
	s.mu.Lock()
	before := s.current
	switch {
	case s.stopped || s.o.Once && s.firstEnded:
		s.mu.Unlock()
		return &stopping
	case before != nil && (s.o.Publishers == One || s.o.Once):
		s.mu.Unlock()
		return &conflict
	}
	s.current = p
	s.publishers++
	p.id = s.publishers
	s.mu.Unlock()
	if before != nil {
		before.stop(errReplaced)
		<-before.done
	}
	return nil
}

// release lets the next publisher in. accepted says that p could publish. A second call does nothing.
func (s *Server) release(p *publisher, accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.released {
		return
	}
	p.released = true
	close(p.done)
	if s.current == p {
		s.current = nil
	}
	if accepted && !s.firstEnded {
		s.firstEnded = true
		close(s.firstDone)
	}
}

// publish puts p's stream into the queue, lets the next publisher in, and returns how the stream ended: io.EOF if it was
// complete and all of it has been delivered, or dropped for a counted reason.
func (s *Server) publish(p *publisher, src source) error {
	defer s.release(p, true) // also if something panics
	s.o.Log.Info("publisher began", "publisher", p.id, "remote", p.remote, "path", p.path)
	r := stream.NewReader(src, stream.ReaderOptions{Format: s.o.Format})
	p.attach(r)
	n, torn, end := s.copyStream(p, r, src)
	s.release(p, true)
	s.logEnd(p, n, torn, end)
	if end != io.EOF {
		return end
	}
	if err := s.queue.Flush(s.abortCtx); err != nil || s.abortCtx.Err() != nil {
		return context.Cause(s.abortCtx)
	}
	return io.EOF
}

// copyStream reads to the end. It returns how many bytes that was, how many of them were dropped as part of a packet, and
// how the stream ended.
func (s *Server) copyStream(p *publisher, r *stream.Reader, src source) (n, torn int64, end error) {
	defer r.Close()
	pacer := stream.NewPacer(s.queue)
	for {
		b, err := r.Next()
		end = src.end()
		if end == nil {
			end = p.stopReason()
		}
		if err != nil {
			return n, torn, end
		}
		if b.N == 0 && dropsPartial(end) {
			torn += discardPartial(b)
		}
		n += int64(b.N)
		s.o.Ledger.AddIn(b.N)
		if err := s.output.Put(s.abortCtx, b); err != nil {
			return n, torn, context.Cause(s.abortCtx)
		}
		pacer.Pace(s.abortCtx, b.N)
	}
}

// dropsPartial reports whether the part of a packet at the end of a stream that ended so must be dropped, because the next
// stream would follow it. A complete stream is delivered to its last byte; so is what was allowed of one that is too
// large, and the last stream of all.
func dropsPartial(end error) bool {
	return end != io.EOF && end != errTooLarge && end != errStopping
}

// discardPartial marks the part of a packet at the end of a stream as dropped. It comes in a batch for which nothing was
// read.
func discardPartial(b stream.Batch) (n int64) {
	for i := range b.Chunks {
		c := &b.Chunks[i]
		if c.Kind == stream.Partial || c.Kind == stream.Unsynced {
			c.Discard = true
			n += int64(len(c.Data))
		}
	}
	return n
}

func (s *Server) logEnd(p *publisher, n, torn int64, end error) {
	args := []any{"publisher", p.id, "bytes", n, "duration", time.Since(p.began).Round(time.Millisecond)}
	switch {
	case end == io.EOF:
		s.o.Log.Info("publisher ended", args...)
	case end == errStopping:
		s.o.Log.Info("publisher cut", append(args, "reason", end.Error())...)
	case s.abortCtx.Err() != nil:
		// The tool ends; the reason is logged once, elsewhere.
	case end == errReplaced:
		s.o.Log.Info("publisher cut", append(args, "reason", end.Error(), "torn", torn)...)
	case end == errTooLarge || end == errIdle:
		s.o.Log.Warn("publisher cut", append(args, "reason", end.Error(), "torn", torn)...)
	default:
		s.o.Log.Warn("publisher died", append(args, "torn", torn, "err", end)...)
	}
}
