package viewer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// run is a hub at work in a bubble of its own time.
type run struct {
	t       *testing.T
	h       *hub
	source  *source
	frames  *tsgen.Generator
	stream  []byte // everything that was put in
	ended   chan struct{}
	clients []*client
}

func startRun(t *testing.T, o Options, frames tsgen.Options) *run {
	o.Log = discardLog{}
	h := newHub(&o)
	r := &run{t: t, h: h, source: newSource(h), frames: tsgen.New(frames), ended: make(chan struct{})}
	h.running.Go(func() { h.run(r.ended) })
	return r
}

// frame puts one more frame in.
func (r *run) frame() {
	b := r.frames.Frame(nil)
	r.stream = append(r.stream, b...)
	r.source.put(r.t, b)
	r.settle()
}

// settle waits until everybody waits, and takes what has come.
func (r *run) settle() {
	r.t.Helper()
	synctest.Wait()
	for _, c := range r.clients {
		c.take(r.t)
	}
	synctest.Wait()
	if c := r.h.counts(); !c.Balances() {
		r.t.Fatalf("the ledger does not add up: %+v", c)
	}
}

func (r *run) connect(room int, direct, answers, next bool) *client {
	c := connect(r.h, room, direct, answers, next)
	r.clients = append(r.clients, c)
	r.settle()
	return c
}

// end ends the stream, and everything.
func (r *run) end() {
	r.t.Helper()
	close(r.ended)
	r.settle()
	for _, c := range r.clients {
		if c.answers {
			c.conn.give(unlimited)
		}
	}
	r.settle()
	time.Sleep(2 * closeTimeout)
	r.settle()
	r.h.cutAll()
	for _, c := range r.clients {
		<-c.ended
		_ = c.conn.client.Close()
	}
	r.h.running.Wait()
	r.source.reader.Close()
	c := r.h.counts()
	if !c.Balances() || c.Held != 0 || c.Unconfirmed != 0 || c.Viewers.Connected != 0 {
		r.t.Fatalf("the ledger at the end: %+v %+v", c, *c.Viewers)
	}
}

// index says where each packet of a stream stands. Packets of tables, which come again, have none.
func index(t *testing.T, b []byte) map[string]int {
	all := map[string]int{}
	for i := 0; i < len(b); i += mpegts.PacketSize {
		p := mpegts.Packet(b[i : i+mpegts.PacketSize])
		if p.PID() == mpegts.PIDPAT || p.PID() == tsgen.PMTPID {
			continue
		}
		if _, twice := all[string(p)]; twice {
			t.Fatal("the same packet twice")
		}
		all[string(p)] = i / mpegts.PacketSize
	}
	return all
}

// check checks what a client got: whole packets of the stream in order, from a keyframe on, with gaps that are
// announced.
func (r *run) check(c *client) (gaps int64) {
	r.t.Helper()
	if len(c.stream) == 0 {
		return 0
	}
	checker := mpegts.NewChecker()
	_, _ = checker.Write(c.stream)
	checker.End()
	report := checker.Report()
	if !report.StartsAtKeyframe && !r.h.warned || report.ContinuityErrors+report.SyncErrors+report.TableErrors > 0 {
		r.t.Fatalf("what came: %+v\n%q", report, checker.Problems())
	}
	where, last := index(r.t, r.stream), -1
	for b := c.stream; len(b) > 0; b = b[mpegts.PacketSize:] {
		p := mpegts.Packet(b[:mpegts.PacketSize])
		i, ok := where[string(p)]
		switch {
		case ok && i <= last:
			r.t.Fatalf("packet %d after packet %d", i, last)
		case ok:
			last = i
		case p.PID() != mpegts.PIDPAT && p.PID() != tsgen.PMTPID && (p.HasPayload() || !p.Discontinuity()):
			r.t.Fatalf("a packet that the stream does not have: % x", p[:16])
		}
	}
	return report.Gaps
}

var hubOptions = Options{Buffer: 1 << 20, MaxAge: 2 * time.Second, DeadAfter: 15 * time.Second}

const unlimited = 1 << 30

func TestAViewerBeginsWithTheCurrentGroup(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{true, false} {
		for _, next := range []bool{false, true} {
			t.Run(fmt.Sprintf("direct=%v,next=%v", direct, next), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := startRun(t, hubOptions, tsgen.Options{GOP: 10, KeyPackets: 5, FramePackets: 2})
					var starts []int
					for i := range 35 {
						if i%10 == 0 {
							starts = append(starts, len(r.stream))
						}
						r.frame()
					}
					c := r.connect(unlimited, direct, true, next)
					want := starts[3]
					if next {
						want = len(r.stream) + 5*2*mpegts.PacketSize
					} else if len(c.stream) != len(r.stream)-want {
						t.Errorf("%d bytes came at once", len(c.stream))
					}
					for range 20 {
						r.frame()
					}
					r.end()
					if !bytes.Equal(c.stream, r.stream[want:]) {
						t.Errorf("%d bytes came, not %d", len(c.stream), len(r.stream)-want)
					}
					if counts := r.h.counts(); c.code != wsconn.StatusGoingAway ||
						counts.Confirmed != int64(len(c.stream)) {
						t.Errorf("closed with %d; %+v", c.code, counts)
					}
				})
			})
		}
	}
}

func TestStalledViewerIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startRun(t, hubOptions, tsgen.Options{GOP: 25, KeyPackets: 40, FramePackets: 20})
		r.frame()
		good, stalled := r.connect(unlimited, true, true, false), r.connect(5000, true, true, false)
		for range 25 * 20 {
			time.Sleep(40 * time.Millisecond)
			r.frame()
		}
		select {
		case <-stalled.ended:
		default:
			t.Error("it was not closed")
		}
		r.end()
		if !bytes.Equal(good.stream, r.stream) {
			t.Errorf("the other one got %d bytes of %d", len(good.stream), len(r.stream))
		}
	})
}

// TestGather: two pictures of 40 ms become one message of 50 ms, time after time.
func TestGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := hubOptions
		o.Gather = 50 * time.Millisecond
		r := startRun(t, o, tsgen.Options{GOP: 1000})
		r.connect(unlimited, true, true, false)
		for range 100 {
			r.frame()
			time.Sleep(40 * time.Millisecond)
		}
		r.end()
		if n := r.h.counts().Messages; n > 55 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestASlowViewerLosesWholeGroups(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const gop, frames = 25, 25 * 60
			r := startRun(t, hubOptions, tsgen.Options{GOP: gop, KeyPackets: 40, FramePackets: 20, Audio: true,
				Interleave: true})
			r.frame()
			slow := r.connect(0, direct, true, false)
			for range frames {
				time.Sleep(40 * time.Millisecond)
				slow.conn.give(20 * mpegts.PacketSize / 3)
				r.frame()
			}
			r.end()
			gaps := r.check(slow)
			if gaps < 10 {
				t.Errorf("%d gaps", gaps)
			}
			r.checkWholeGroups(slow, gop)
		})
	}
}

// checkWholeGroups checks that a client got each group of pictures as a whole or not at all, but for the last.
func (r *run) checkWholeGroups(c *client, gop int) {
	r.t.Helper()
	frames := map[uint64]bool{}
	last := uint64(0)
	for b := c.stream; len(b) > 0; b = b[mpegts.PacketSize:] {
		p := mpegts.Packet(b[:mpegts.PacketSize])
		if pts, ok := p.PTS(); ok && p.PID() == tsgen.VideoPID {
			last = pts / tsgen.FrameTicks
			frames[last] = true
		}
	}
	for g := uint64(0); g < last/uint64(gop); g++ {
		n := 0
		for i := range uint64(gop) {
			if frames[g*uint64(gop)+i] {
				n++
			}
		}
		if n != 0 && n != gop {
			r.t.Errorf("%d of %d frames of group %d", n, gop, g)
		}
	}
}

func TestHubKeepsItsPromises(t *testing.T) {
	t.Parallel()
	seeds := 100
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			checkHub(t, uint64(seed))
		})
	}
}

func FuzzHub(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(checkHub)
}

// checkHub lets viewers of all kinds come, read, stall and go at random.
func checkHub(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		}()
		random := rand.New(rand.NewPCG(seed, 0))
		o := Options{
			Buffer:    int64(1+random.IntN(20)) * 20_000,
			MaxAge:    time.Duration(random.IntN(3)) * time.Second,
			DeadAfter: time.Duration(1+random.IntN(15)) * time.Second,
		}
		if random.IntN(3) == 0 {
			o.Gather = 100 * time.Millisecond
		}
		r := startRun(t, o, tsgen.Options{
			GOP: 1 + random.IntN(30), KeyPackets: 1 + random.IntN(40), FramePackets: 1 + random.IntN(10),
			Audio: random.IntN(2) == 0, Interleave: random.IntN(2) == 0, TablesEvery: random.IntN(3) * random.IntN(20),
			Seed: seed,
		})
		for range 300 {
			switch n := random.IntN(20); {
			case n == 0 && len(r.clients) < 20:
				room := unlimited
				if random.IntN(2) == 0 {
					room = random.IntN(50_000)
				}
				r.connect(room, random.IntN(3) > 0, random.IntN(5) > 0, random.IntN(4) == 0)
			case n < 4 && len(r.clients) > 0:
				r.clients[random.IntN(len(r.clients))].conn.give(random.IntN(100_000))
			case n == 4 && len(r.clients) > 0:
				c := r.clients[random.IntN(len(r.clients))]
				switch random.IntN(3) {
				case 0:
					c.send(wsconn.OpClose, []byte{3, 232})
				case 1:
					_ = c.conn.client.Close()
				case 2:
					c.send(wsconn.OpPing, []byte("hello"))
				}
			case n == 5:
				time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			default:
				time.Sleep(40 * time.Millisecond)
				r.frame()
			}
			r.settle()
			r.checkMemory()
		}
		r.end()
		for _, c := range r.clients {
			r.check(c)
		}
	})
}

// checkMemory checks that the hub's bounds hold and that its books on them are right.
func (r *run) checkMemory() {
	r.t.Helper()
	h := r.h
	h.mu.Lock()
	defer h.mu.Unlock()
	var listed, orphans int64
	for _, g := range h.groups {
		listed += g.memory
	}
	for g := range h.orphans {
		orphans += g.memory
	}
	var largest int64 = 60_000 // a frame
	if listed != h.memory || orphans != h.orphanMemory || listed > h.o.Buffer+largest || orphans > h.o.Buffer {
		r.t.Fatalf("groups %d (%d), orphans %d (%d), buffer %d", listed, h.memory, orphans, h.orphanMemory, h.o.Buffer)
	}
	places := map[*group]int{}
	for v := range h.viewers {
		if v.cur != nil {
			places[v.cur]++
		}
	}
	for g, n := range places {
		if g.viewers != n {
			r.t.Fatalf("group %d has %d viewers, not %d", g.id, n, g.viewers)
		}
	}
}

// TestTheHubForgetsSocketsBeforeTheyAreClosed: it writes to live viewers by the number of a descriptor, which is
// another connection's soon after.
func TestTheHubForgetsSocketsBeforeTheyAreClosed(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*hub, *client){
		"the stream's end": func(h *hub, _ *client) { h.cutAll() },
		"the viewer's end": func(_ *hub, c *client) { _ = c.conn.client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startRun(t, hubOptions, tsgen.Options{GOP: 2})
				r.frame()
				c := r.connect(unlimited, true, false, false)
				r.frame()
				isLive := func() bool { return c.v.in == &r.h.live }
				if !isLive() {
					t.Fatal("the viewer is not live")
				}
				closed := false
				c.conn.onClose = func() { // with h.mu held
					closed = true
					if isLive() || len(r.h.writers) > 0 {
						t.Error("the connection was closed while the hub could write to it")
					}
				}
				end(r.h, c)
				synctest.Wait()
				if !closed {
					t.Error("the connection was not closed")
				}
				r.end()
			})
		})
	}
}
