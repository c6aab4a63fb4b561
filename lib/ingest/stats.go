package ingest

import (
	"log/slog"
	"sync"
	"time"
)

// rate measures how fast publishers send, between one look and the next.
type rate struct {
	mu    sync.Mutex
	since time.Time
	bytes int64 // that had been read by then
}

// perSecond returns the bytes per second since the last look, when read is what has been read in all.
func (r *rate) perSecond(read int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	passed := now.Sub(r.since)
	n := read - r.bytes
	r.since, r.bytes = now, read
	if passed <= 0 {
		return 0
	}
	return int64(float64(n) / passed.Seconds())
}

// Stats is how things stand: who publishes, how many bytes a second have come since the last call, and what waits and
// has been dropped, in bytes.
func (s *Server) Stats() []slog.Attr {
	publisher := "none"
	s.mu.Lock()
	if s.current != nil {
		publisher = s.current.remote
	}
	s.mu.Unlock()
	c := s.account.Counts()
	return []slog.Attr{
		slog.String("publisher", publisher),
		slog.Int64("rate", s.rate.perSecond(c.In)),
		slog.Int64("in", c.In),
		slog.Int64("held", c.Held+c.Unconfirmed),
		slog.Int64("dropped", c.Dropped.Sum()),
	}
}
