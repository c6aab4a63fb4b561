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
	errTakenOver = errors.New("another publisher has taken over")
	errStopping  = errors.New("the tool was told to stop")
)

// source is the stream of one publisher.
type source interface {
	io.Reader
	SetReadDeadline(time.Time) error
	// end tells, once a Read has failed, how the stream ended: io.EOF if it is complete, nil if it has not ended.
	end() error
}

// publisher is one client that was let in.
type publisher struct {
	id     int
	remote string
	path   string // as it may be logged
	began  time.Time
	// done is closed when the publisher has put its last byte into the queue, and all before it have.
	done chan struct{}

	mu     sync.Mutex
	reader *stream.Reader // nil before attach
	reason error          // why it was cut; nil if it was not

	released bool // protected by Server.mu
}

func (s *Server) newPublisher(r *http.Request) *publisher {
	return &publisher{
		remote: r.RemoteAddr,
		path:   s.guard.loggable(r.URL.Path),
		began:  time.Now(),
		done:   make(chan struct{}),
	}
}

// cut ends the publisher's stream where it is.
func (p *publisher) cut(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil {
		p.reason = reason
	}
	if p.reader != nil {
		p.reader.Stop()
	}
}

func (p *publisher) cutReason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// attach makes cut end what the reader reads.
func (p *publisher) attach(r *stream.Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reader = r
	if p.reason != nil {
		r.Stop()
	}
}

// claim makes p the publisher, and returns nil when those before it are done; or why it cannot be.
func (s *Server) claim(p *publisher) *answer {
	s.mu.Lock()
	before := s.current
	switch {
	case s.stopped || s.o.Once && s.served:
		s.mu.Unlock()
		return &stopping
	case before != nil && (s.o.Publishers == One || s.o.Once):
		s.mu.Unlock()
		return &occupied
	}
	s.current = p
	s.publishers++
	p.id = s.publishers
	s.mu.Unlock()
	if before != nil {
		before.cut(errTakenOver)
		<-before.done
	}
	return nil
}

// release makes room for the next publisher. accepted says that p could publish. A second call does nothing.
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
	if accepted && !s.served {
		s.served = true
		close(s.first)
	}
}

// publish puts p's stream into the queue, makes room for the next publisher, and tells how the stream ended: io.EOF if
// it was complete and everything of it has been delivered, or dropped for a reason that is counted.
func (s *Server) publish(p *publisher, src source) error {
	defer s.release(p, true) // also if something panics
	s.o.Log.Info("publisher began", "publisher", p.id, "remote", p.remote, "path", p.path)
	r := stream.NewReader(src, stream.ReaderOptions{Format: s.o.Format})
	p.attach(r)
	n, torn, end := s.pump(p, r, src)
	s.release(p, true)
	s.logEnd(p, n, torn, end)
	if end != io.EOF {
		return end
	}
	if err := s.queue.Flush(s.over); err != nil || s.over.Err() != nil {
		return context.Cause(s.over)
	}
	return io.EOF
}

// pump reads until the end and returns how many bytes that was, how many of them were dropped as the part of a packet,
// and how the stream ended.
func (s *Server) pump(p *publisher, r *stream.Reader, src source) (n, torn int64, end error) {
	defer r.Close()
	for {
		b, err := r.Next()
		end = src.end()
		if end == nil {
			end = p.cutReason()
		}
		if err != nil {
			return n, torn, end
		}
		if b.N == 0 && splices(end) {
			torn += discardRest(b)
		}
		n += int64(b.N)
		s.o.Ledger.AddIn(b.N)
		if err := s.queue.Put(s.over, b); err != nil {
			return n, torn, context.Cause(s.over)
		}
	}
}

// splices reports whether what follows a stream that ended so would stand behind part of a packet. Complete streams
// are delivered as they are, to the last byte; so is what was allowed of one that is too large, and so is the last
// stream of all.
func splices(end error) bool {
	return end != io.EOF && end != errTooLarge && end != errStopping
}

// discardRest marks what is left at the end of a stream, the part of a packet, as not to be delivered. It comes in a
// batch for which nothing was read.
func discardRest(b stream.Batch) (n int64) {
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
	case s.over.Err() != nil:
		// Everything ends, and why is said once, elsewhere.
	case end == errTakenOver:
		s.o.Log.Info("publisher cut", append(args, "reason", end.Error(), "torn", torn)...)
	case end == errTooLarge || end == errIdle:
		s.o.Log.Warn("publisher cut", append(args, "reason", end.Error(), "torn", torn)...)
	default:
		s.o.Log.Warn("publisher died", append(args, "torn", torn, "err", end)...)
	}
}
