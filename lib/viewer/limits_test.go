package viewer

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// TestMaxViewersInACrowd: however many ask at once, no more are let in than may be.
func TestMaxViewersInACrowd(t *testing.T) {
	t.Parallel()
	const limit, crowd = 3, 30
	s := startServer(t, Options{MaxViewers: limit})
	for range 20 {
		conns := make(chan *wsconn.Conn, crowd)
		var running sync.WaitGroup
		for range crowd {
			running.Go(func() {
				conn, err := wsconn.Dial(t.Context(), "ws://"+s.addr+"/", wsconn.DialOptions{Timeout: time.Minute})
				if err == nil {
					conns <- conn
				}
			})
		}
		running.Wait()
		if len(conns) != limit {
			t.Fatalf("%d of %d were let in, want %d", len(conns), crowd, limit)
		}
		for range limit {
			(<-conns).CloseNow()
		}
		testwait.Eventually(t, "all seats are free", func() bool { return s.seats.Load() == 0 })
	}
}

// TestSeatsAreGivenBack: who comes after another has left is let in.
func TestSeatsAreGivenBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{MaxViewers: 1})
	for range 3 {
		conn, _, _ := s.watch("/")
		_ = conn.Close()
		testwait.Eventually(t, "the seat is free", func() bool { return s.seats.Load() == 0 })
	}
}

// TestIdleViewerIsNotDead: the time in which nothing was written to a viewer does not count when a write begins.
func TestIdleViewerIsNotDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := hubOptions
		o.DeadAfter = 5 * time.Second
		r := startRun(t, o, tsgen.Options{GOP: 10})
		r.frame()
		v := r.connect(unlimited, true, true, false).v
		time.Sleep(2 * o.DeadAfter)
		r.settle()
		r.h.mu.Lock()
		v.pong = appendControl(nil, wsconn.OpPong, nil)
		b := v.startWrite(time.Now())
		r.h.mu.Unlock()
		r.h.tick(time.Now()) // right after the pump has found something to write
		r.h.mu.Lock()
		if b == nil || v.dead {
			t.Errorf("%d bytes to write, dead %v", len(b), v.dead)
		}
		v.writing = false
		r.h.mu.Unlock()
		v.write(b)
		r.end()
	})
}

// TestDropsAtTheEndAreCounted: what was dropped for want of room is in the ledger, also when nothing comes after it.
func TestDropsAtTheEndAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := hubOptions
		o.Buffer = 20_000
		r := startRun(t, o, tsgen.Options{GOP: 1000, FramePackets: 10})
		r.frame()
		r.connect(unlimited, true, true, false)
		r.h.mu.Lock() // the hub is busy
		for range 100 {
			b := r.frames.Frame(nil)
			r.stream = append(r.stream, b...)
			r.source.put(t, b)
		}
		r.h.mu.Unlock()
		r.end()
		if c := r.h.counts(); c.In != int64(len(r.stream)) || c.Dropped.Full == 0 {
			t.Errorf("%d bytes came in, the ledger: %+v", len(r.stream), c)
		}
	})
}
