//go:build linux

package test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// plainUplink starts a vw-push without the race detector: what is measured shall be vw-push.
func plainUplink(t testing.TB, next func([]byte) []byte, every time.Duration, args ...string) *uplink {
	t.Helper()
	name, err := plainPush()
	if err != nil {
		t.Fatal(err)
	}
	return liveUplink(t, name, next, every, args...)
}

// liveUplink starts a vw-push --live that is fed what next appends, every so often.
func liveUplink(t testing.TB, name string, next func([]byte) []byte, every time.Duration, args ...string) *uplink {
	t.Helper()
	r, w := pipe(t)
	ledger := filepath.Join(t.TempDir(), "ledger.json")
	p := start(t, wiring{stdin: r}, name, append([]string{"--ledger", ledger, "--live"}, args...)...)
	r.Close()
	p.name, p.ledger = "vw-push", ledger
	return &uplink{t: t, push: p, feed: newFeeder(t, w, every, next)}
}

// TestOneOfThreeStalls: one of three destinations stalls; the other two get every byte, and their arrival times are
// reported beside those of a run in which nothing stalls. VW_TEST_STALL says for how many seconds.
func TestOneOfThreeStalls(t *testing.T) {
	stall := time.Duration(setting(t, "VW_TEST_STALL", 3)) * time.Second
	var medians [2]time.Duration
	for i, disturbed := range []bool{false, true} {
		var servers []*sink
		var urls []string
		for range 3 {
			s := newSink(t, listenAt(t, "127.0.0.1", smallBuffer), nil)
			servers, urls = append(servers, s), append(urls, s.url)
		}
		u := plainUplink(t, camera1300(5).Frame, 40*time.Millisecond, append([]string{"--max-age", maxAge.String()},
			urls...)...)
		for _, s := range servers {
			u.begin(s, 100_000)
		}
		status := 0
		if disturbed {
			resume := servers[0].connections()[0].stall()
			time.Sleep(stall)
			resume()
			u.fresh(servers[0])
			status = 3
		} else {
			time.Sleep(stall)
		}
		all := u.finish(status, servers...)
		source := u.feed.end()
		var ages []time.Duration
		for k, s := range servers[1:] {
			b, _ := s.connections()[0].received()
			same(t, "what an undisturbed destination got", b, source)
			ages = append(ages, all[k+1].ages...)
		}
		t.Logf("one destination stalls: %v; from the write into the pipe to the others: %s", disturbed, quantiles(ages))
		medians[i] = ages[len(ages)/2] // quantiles has sorted them
		if p99 := ages[len(ages)*99/100]; p99 > 100*time.Millisecond {
			t.Errorf("a hundredth took longer than %v", p99)
		}
		u.feed.neverWaited()
		if disturbed && all[0].gaps == 0 {
			t.Error("the stalled destination missed nothing: that was no stall")
		}
	}
	if medians[1] > 3*medians[0]+5*time.Millisecond {
		t.Errorf("the median was %v, and %v while another destination stalled", medians[0], medians[1])
	}
}

// TestMemoryStaysBounded: a fast stream to three destinations that take nothing: memory stays within the buffer, which
// they share, and 16 MiB.
func TestMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	const buffer = 16 // MiB
	g := tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 900, FramePackets: 280, Audio: true, Seed: 6})
	var servers []*sink
	var urls []string
	for range 3 {
		s := newSink(t, listenAt(t, "127.0.0.1", smallBuffer), func(c *sunk) { c.stall() })
		servers, urls = append(servers, s), append(urls, s.url)
	}
	baseline := 0
	n := 0
	u := plainUplink(t, func(dst []byte) []byte {
		if n++; n == 1 {
			return append(dst, g.Frame(nil)...)
		}
		return g.Frame(g.Frame(dst))
	}, 4*time.Millisecond, append([]string{"--max-age", "10m", "--linger", "0s", "--buffer", "16MiB"}, urls...)...)
	for i, s := range servers {
		u.begin(s, 0)
		if i == 0 {
			baseline = u.push.status("VmRSS")
		}
	}
	testwait.Eventually(t, "64 MiB of stream", func() bool {
		u.feed.mu.Lock()
		defer u.feed.mu.Unlock()
		return len(u.feed.stream) > 64<<20
	})
	peak := u.push.status("VmHWM")
	t.Logf("%d KiB at the start, %d KiB at the most, with a buffer of %d KiB for three destinations", baseline, peak,
		buffer<<10)
	if peak > (buffer+16)<<10 {
		t.Errorf("%d KiB, with all that a process has anyway", peak)
	}
	source := u.feed.end()
	u.push.expect(3)
	for _, c := range u.push.account().Out {
		if c.Dropped.Full == 0 || c.In != int64(len(source)) {
			t.Errorf("%+v", c)
		}
	}
	u.feed.neverWaited()
}

// TestInputNeverWaits measures, without the race detector, how long the input waits while a destination stalls, loses
// its connection, and cannot be reached.
func TestInputNeverWaits(t *testing.T) {
	server := newSink(t, listenAt(t, "127.0.0.1", smallBuffer), nil)
	l := newLink(t, listenAt(t, "127.0.0.1", smallBuffer), always(server.addr))
	u := plainUplink(t, camera1300(7).Frame, 40*time.Millisecond, "--max-age", maxAge.String(), "--dead-after", "500ms",
		"--dial-timeout", "300ms", "--backoff-min", "10ms", "--backoff-max", "50ms", l.url)
	u.begin(server, 50_000)
	revive := l.die()
	time.Sleep(1500 * time.Millisecond)
	revive()
	u.fresh(server)
	for range 5 {
		n := len(server.connections())
		l.reset(l.connections()[len(l.connections())-1])
		server.wait(t, n, 10_000)
	}
	source := u.feed.end()
	u.push.expect(3)
	u.check(source, server)
	u.push.account()
	u.feed.neverWaited()
}
