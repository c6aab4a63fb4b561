package test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// restarting is the listener of a server that restarts again and again: while it is down, who connects is reset.
type restarting struct {
	net.Listener

	mu    sync.Mutex
	down  bool
	open  []net.Conn
	dials int
}

func (r *restarting) Accept() (net.Conn, error) {
	for {
		conn, err := r.Listener.Accept()
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.dials++
		down := r.down
		if !down {
			r.open = append(r.open, conn)
		}
		r.mu.Unlock()
		if !down {
			return conn, nil
		}
		resetNow(conn)
	}
}

// restart is down for so long, and resets all connections before.
func (r *restarting) restart(pause time.Duration) {
	r.mu.Lock()
	r.down = true
	for _, conn := range r.open {
		resetNow(conn)
	}
	r.open = nil
	r.mu.Unlock()
	time.Sleep(pause)
	r.mu.Lock()
	r.down = false
	r.mu.Unlock()
}

// resetNow closes a connection as the kernel does that of a process that was killed.
func resetNow(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// TestRestartStorm: a server restarts again and again in a short time while many push to it. Nothing is lost, ledgers
// are exact, each pusher logs a line a second at most, needs no more memory, and dials no faster than it may.
// VW_TEST_STORM_PUSHERS and VW_TEST_STORM_RESTARTS say how many.
func TestRestartStorm(t *testing.T) {
	t.Parallel()
	const shortest = 250 * time.Millisecond // --backoff-min
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	ln := &restarting{Listener: listenAt(t, "127.0.0.1", smallBuffer)}
	server := newSink(t, ln, nil)
	name, err := plainPush()
	if err != nil {
		t.Fatal(err)
	}
	pushers := make([]struct {
		*process
		feed   *feeder
		memory int
	}, setting(t, "VW_TEST_STORM_PUSHERS", 6))
	for i := range pushers {
		r, w := pipe(t)
		ledger := filepath.Join(t.TempDir(), "ledger.json")
		p := start(t, wiring{stdin: r}, name, "--ledger", ledger, "--buffer", "1MiB", "--backoff-max", "1s",
			fmt.Sprintf("%s/%d", server.url, i))
		r.Close()
		p.name, p.ledger = "vw-push", ledger
		pushers[i].process, pushers[i].feed = p, newFeeder(t, w, 40*time.Millisecond, camera1300(uint64(i)).Frame)
	}
	for i := range pushers {
		pushers[i].find(pushers[i].stderr, "msg=connected")
		pushers[i].memory = pushers[i].status("VmRSS")
	}
	began := time.Now()
	for range setting(t, "VW_TEST_STORM_RESTARTS", 12) {
		ln.restart(time.Duration(50+rnd.IntN(250)) * time.Millisecond)
		time.Sleep(time.Duration(50+rnd.IntN(350)) * time.Millisecond)
	}
	took := time.Since(began)
	ln.mu.Lock()
	dials := ln.dials
	ln.mu.Unlock()
	if most := len(pushers) * (int(took/shortest) + 2); dials > most {
		t.Errorf("%d dials, and there was time for %d", dials, most)
	}
	connects, most, repeated, total := int64(0), 0, 0, 0
	for i := range pushers {
		p := &pushers[i]
		oneASecond(t, linesOf(t, p.stderr.String())) // before the end, when all that waits is written
		source := p.feed.end()
		more := p.status("VmHWM") - p.memory
		p.expect(0)
		c := p.account().Out[0]
		if c.Confirmed != int64(len(source)) || c.In != c.Confirmed {
			t.Errorf("%d: %d bytes were read: %+v", i, len(source), c)
		}
		if more > 8<<10 {
			t.Errorf("%d: %d KiB of memory more", i, more)
		}
		var pieces [][]byte
		for _, conn := range server.connections() {
			if b, _ := conn.received(); conn.path == fmt.Sprint("/", i) {
				pieces = append(pieces, b)
			}
		}
		repeated += unionIs(t, source, pieces)
		connects, most, total = connects+c.Connects, max(most, more), total+len(source)
	}
	t.Logf("%d pushers, %v: %d dials, %d connections, %d of %d bytes came twice; %d KiB of memory more at most",
		len(pushers), took.Round(time.Millisecond), dials, connects, repeated, total, most)
}
