package ingest

import (
	"strconv"

	"github.com/timdrysdale/vw/lib/metrics"
)

// Metrics returns the figures of the ledger, of the publisher and of the connections, with the labels.
func (s *Server) Metrics(labels ...string) *metrics.Text {
	t := metrics.NewText(labels...)
	t.AddLedger(s.o.Ledger.Snapshot(false))
	t.Add(metrics.Frames, float64(s.frames.Load()))
	t.Add(metrics.Keyframes, float64(s.keyframes.Load()))

	s.mu.Lock()
	defer s.mu.Unlock()
	published, since, name := 0.0, 0.0, ""
	if s.current != nil {
		published, since, name = 1, float64(s.current.began.UnixMilli())/1000, s.current.token.Name()
	}
	t.Add(metrics.Publisher, published, "publisher", name)
	t.Add(metrics.PublisherSince, since)
	t.Add(metrics.Publishers, float64(s.publishers))
	for status, n := range s.refusals {
		t.Add(metrics.Refused, float64(n), "status", strconv.Itoa(status))
	}
	for state, n := range s.conns.open() {
		t.Add(metrics.Connections, float64(n), "state", stateNames[state])
	}
	return t
}
