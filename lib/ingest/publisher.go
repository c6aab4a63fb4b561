package ingest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
)

var (
	errReplaced = errors.New("another publisher has taken over")
	errRevoked  = errors.New("its token is not valid any more")
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
	id        int
	remote    string
	path      string // as it may be logged
	token     access.Token
	stream    string // its name, or ""
	began     time.Time
	confirmer *confirmer // nil if nothing is to be confirmed while the stream goes on
	// done is closed when the publisher, and all before it, have put their last byte into the queue.
	done chan struct{}

	mu     sync.Mutex
	reader *stream.Reader // nil before attach
	reason error          // why it was stopped; nil if it was not

	// Protected by Server.mu:
	released bool
	resumed  bool // its sender has come back, and goes on as another publisher
}

// attrs returns the attributes of a log line about the publisher.
func (p *publisher) attrs(more ...any) []any {
	args := []any{"publisher", p.id}
	if name := p.token.Name(); name != "" {
		args = append(args, "name", name)
	}
	return append(args, more...)
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
	case before != nil && (s.o.Publishers == One || s.o.Once) && !p.returns(before):
		s.mu.Unlock()
		return &conflict
	}
	if before != nil {
		before.resumed = p.returns(before)
	}
	s.current = p
	s.publishers++
	p.id = s.publishers
	s.mu.Unlock()
	s.account.SetPublisher(p.token.Name())
	s.account.SetStream(p.stream)
	s.checkToken() // it may have gone since it was shown
	if before != nil {
		before.stop(errReplaced)
		<-before.done
	}
	return nil
}

// returns reports whether p is the publisher that before was, whose connection is probably half-open: it showed the
// same token, which has a name, or it names the same stream.
func (p *publisher) returns(before *publisher) bool {
	return p.token == before.token && (p.token.Name() != "" || p.stream != "" && p.stream == before.stream)
}

// checkToken stops the publisher if its token is not in force any more.
func (s *Server) checkToken() {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil && s.o.Tokens != nil && !s.o.Tokens.Has(current.token) {
		current.stop(errRevoked)
	}
}

// release lets the next publisher in. accepted says that p could publish. A second call does nothing. The first
// publisher has not ended while its sender goes on over another connection.
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
	if accepted && !p.resumed && !s.firstEnded {
		s.firstEnded = true
		close(s.firstDone)
	}
}

// publish puts p's stream into the queue, lets the next publisher in, and returns how the stream ended: io.EOF if it
// was complete and all of it has been delivered, but for a part of a packet that is held, or dropped for a counted
// reason.
func (s *Server) publish(p *publisher, src source) error {
	defer s.release(p, true) // also if something panics
	s.o.Log.Info("publisher began", p.attrs("remote", p.remote, "path", p.path)...)
	g := &grid{source: src, off: s.o.Format == stream.Raw, confirmer: p.confirmer}
	r := stream.NewReader(g, stream.ReaderOptions{Format: s.o.Format, Warn: s.warn})
	p.attach(r)
	n, held, end := s.copyStream(p, r, g)
	s.release(p, true)
	s.logEnd(p, n, held, end)
	if size := new(stream.PacketSizeError); s.o.Once && errors.As(end, &size) {
		s.abort(size)
	}
	if end != io.EOF {
		return end
	}
	if err := s.queue.Flush(s.abortCtx); err != nil || s.abortCtx.Err() != nil {
		return context.Cause(s.abortCtx)
	}
	return io.EOF
}

// copyStream reads to the end. It returns how many bytes that was, how many of them are held as a part of a packet, and
// how the stream ended.
func (s *Server) copyStream(p *publisher, r *stream.Reader, g *grid) (n, held int64, end error) {
	defer r.Close()
	pacer := stream.NewPacer(s.queue)
	var tails []tail
	splice := p.id > 1
	frames, keyframes := s.frames.Load(), s.keyframes.Load() // of the publishers before
	for {
		b, err := r.Next()
		end = g.end()
		if end == nil {
			end = p.stopReason()
		}
		if err != nil {
			if size := new(stream.PacketSizeError); errors.As(err, &size) { // not for each frame: it allocates
				end = size
			}
			tails = append(tails, s.gridTail(g)...)
			n += int64(g.n)
			return n, s.holdTails(tails), end
		}
		if b.N == 0 {
			tails = takePartial(&b)
		}
		if len(s.tails) > 0 && len(b.Chunks) > 0 {
			s.settleTails(packetsFollow(b, g))
		}
		if len(b.Chunks) > 0 {
			b.Chunks[0].Splice, splice = splice, false
		}
		n += int64(b.N)
		s.o.Ledger.AddBatch(b)
		f, k := r.Frames()
		s.frames.Store(frames + f)
		s.keyframes.Store(keyframes + k)
		if err := s.output.Put(s.abortCtx, b); err != nil {
			return n, 0, context.Cause(s.abortCtx)
		}
		p.confirmer.put(n, g.n)
		pacer.Pace(s.abortCtx, b.N)
	}
}

func (s *Server) logEnd(p *publisher, n, held int64, end error) {
	args := p.attrs("bytes", n, "duration", time.Since(p.began).Round(time.Millisecond))
	if held > 0 {
		args = append(args, "held", held)
	}
	var size *stream.PacketSizeError
	switch {
	case end == io.EOF:
		s.o.Log.Info("publisher ended", args...)
	case end == errStopping:
		s.o.Log.Info("publisher cut", append(args, "reason", end.Error())...)
	case s.abortCtx.Err() != nil:
		// The tool ends; the reason is logged once, elsewhere.
	case end == errReplaced || end == errRevoked:
		s.o.Log.Info("publisher cut", append(args, "reason", end.Error())...)
	case errors.As(end, &size):
		s.o.Log.Warn("publisher cut", append(args, "reason", end.Error(), "hint", size.Hint())...)
	case end == errTooLarge || end == errIdle:
		s.o.Log.Warn("publisher cut", append(args, "reason", end.Error())...)
	default:
		s.o.Log.Warn("publisher died", append(args, "err", end)...)
	}
}
