package ingest

import (
	"log/slog"
	"sync"
	"time"
)

// rate measures how fast publishers send, between two calls.
type rate struct {
	mu    sync.Mutex
	since time.Time
	bytes int64 // read until then
}

// perSecond returns the bytes per second since the last call; read is the number of bytes read in all.
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

// Stats returns the figures of a --stats line: who publishes, the bytes per second since the last call, and the bytes
// held and dropped.
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
