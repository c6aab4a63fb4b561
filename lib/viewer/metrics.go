package viewer

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/metrics"
)

// serveMetrics answers with the figures of the whole tool: those of its ledger, and those of the viewers.
func (s *Server) serveMetrics(w http.ResponseWriter) {
	t := metrics.NewText()
	t.AddLedger(s.o.Ledger.Snapshot(false))
	t.Add(metrics.Viewers, float64(s.Viewers()))
	t.Add(metrics.ViewerLag, s.hub.lag().Seconds())
	live := 0.0
	if s.hub.status().Live {
		live = 1
	}
	t.Add(metrics.StreamLive, live)
	for status, n := range s.refused.counts() {
		t.Add(metrics.Refused, float64(n), "status", strconv.Itoa(status))
	}
	w.Header().Set("Content-Type", metrics.ContentType)
	_, _ = t.WriteTo(w) // a client that has gone needs no answer
}

// lag is how long the slowest viewer has not taken what waits for it.
func (h *hub) lag() (lag time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for v := range h.viewers {
		if g := v.cur; g != nil && v.index >= g.released && v.index < g.count() {
			lag = max(lag, now.Sub(g.frame(v.index).receivedAt))
		}
	}
	return lag
}

// refused counts refusals by the status of their answer.
type refused struct {
	mu       sync.Mutex
	byStatus map[int]int64
}

func (r *refused) add(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byStatus == nil {
		r.byStatus = map[int]int64{}
	}
	r.byStatus[status]++
}

func (r *refused) counts() map[int]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.byStatus)
}
