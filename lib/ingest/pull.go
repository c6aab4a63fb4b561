package ingest

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// Source is a websocket server whose stream is fetched, where publishers do not come by themselves.
type Source struct {
	Name string // as it may be logged
	Dial func(context.Context) (*wsconn.Conn, error)
	// Pause is the first pause between two dials; it doubles up to MaxPause, and is the first again when a connection has
	// held.
	Pause, MaxPause time.Duration
}

// steady is how long a connection must have held for the next dial to be prompt again.
const steady = 5 * time.Second

// pull dials the source, and again when the connection has ended, until no publisher is to be taken any more.
func (s *Server) pull() {
	src := s.o.Pull
	pause := src.Pause
	for s.taking.Err() == nil {
		began := time.Now()
		conn, err := src.Dial(s.taking)
		if err == nil {
			p := &publisher{remote: src.Name, began: began, done: make(chan struct{})}
			if s.claim(p) == nil {
				s.takeWebsocket(p, conn)
			}
			conn.CloseNow()
		}
		if s.taking.Err() != nil {
			return
		}
		if err == nil && time.Since(began) >= steady {
			pause = src.Pause
		}
		wait := pause/2 + rand.N(pause/2+1) // many that lost the same server do not come back all at once
		pause = min(2*pause, src.MaxPause)
		if err != nil {
			s.o.Log.Warn("no connection", "to", src.Name, "err", err, "again_in", wait.Round(time.Millisecond))
		}
		select {
		case <-time.After(wait):
		case <-s.taking.Done():
		}
	}
}
