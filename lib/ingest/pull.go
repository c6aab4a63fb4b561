package ingest

import (
	"context"
	"time"

	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// Source is a websocket server whose stream is fetched, where publishers do not come by themselves.
type Source struct {
	Name string // as it may be logged
	// Dial connects. again says that there has been a connection before: what the server keeps for those who join would
	// come twice.
	Dial func(ctx context.Context, again bool) (*wsconn.Conn, error)
	// Pause and MaxPause bound the pause between two dials, as backoff.New has them.
	Pause, MaxPause time.Duration
}

// pull dials the source, and again when the connection has ended, until the server accepts no publisher any more.
func (s *Server) pull() {
	src := s.o.Pull
	pause := backoff.New(src.Pause, src.MaxPause)
	again := false
	for s.acceptCtx.Err() == nil {
		began := time.Now()
		conn, err := src.Dial(s.acceptCtx, again)
		if err == nil {
			again = true
			p := &publisher{remote: src.Name, began: began, done: make(chan struct{})}
			if s.claim(p) == nil {
				s.takeWebsocket(p, conn, func() {})
			}
			conn.CloseNow()
		}
		if s.acceptCtx.Err() != nil {
			return
		}
		if err == nil {
			pause.Lasted(time.Since(began))
		}
		wait := pause.Next()
		if err != nil {
			s.o.Log.Warn("no connection", "to", src.Name, "err", err, "again_in", wait.Round(time.Millisecond))
		}
		select {
		case <-time.After(wait):
		case <-s.acceptCtx.Done():
		}
	}
}
