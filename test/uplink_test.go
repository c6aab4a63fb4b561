//go:build linux

package test

import (
	"fmt"
	"testing"
	"time"
)

// TestDeadLink pulls the cable, for less and for longer than --dead-after. VW_TEST_OUTAGE says for how many seconds.
func TestDeadLink(t *testing.T) {
	outage := time.Duration(setting(t, "VW_TEST_OUTAGE", 3)) * time.Second
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("given up %v", cut), func(t *testing.T) {
			t.Parallel()
			ns := newNamespaces(t, 2)
			join(ns[0], ns[1], "uplink", "10.9.9.1/24", "10.9.9.2/24")
			server := newSink(t, ns[1].listen("10.9.9.2", smallBuffer), nil)
			deadAfter := 2 * outage
			if cut {
				deadAfter = time.Second
			}
			u := startUplink(t, ns[0], "--dead-after", deadAfter.String(), "--dial-timeout", "1s", server.url)
			u.begin(server, 200_000)
			ns[1].ip("link set uplink down")
			time.Sleep(outage)
			ns[1].ip("link set uplink up")
			up := time.Now()
			u.fresh(server)
			t.Logf("fresh pictures %v after the link was back", time.Since(up).Round(time.Millisecond))
			a := u.finish(3, server)[0]
			u.feed.neverWaited()
			checkLate(t, u, a, server, cut)
		})
	}
}

// checkLate checks that not more arrived late than what the connection had begun and the kernel held (which goes on
// trying also when vw-push has given the connection up), and on a new connection nothing.
func checkLate(t *testing.T, u *uplink, a arrived, server *sink, cut bool) {
	t.Helper()
	n := len(server.connections())
	limit := longestGroup(u.feed.end()) + inKernel
	if a.late > limit || a.lateAgain > 0 || cut && n < 2 || !cut && (n != 1 || a.gaps == 0) {
		t.Errorf("%d connections, %d gaps inside, %d bytes late of at most %d, the oldest %v", n, a.gaps, a.late, limit,
			a.oldest)
	}
}

// TestServerStopsReading: zero window, for a while and for ever.
func TestServerStopsReading(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("given up %v", cut), func(t *testing.T) {
			t.Parallel()
			server := newSink(t, listenAt(t, "127.0.0.1", smallBuffer), nil)
			deadAfter := 15 * time.Second
			if cut {
				deadAfter = time.Second
			}
			u := startUplink(t, nil, "--dead-after", deadAfter.String(), server.url)
			resume := u.begin(server, 200_000).stall()
			time.Sleep(4 * time.Second)
			if !cut {
				resume()
			}
			u.fresh(server)
			a := u.finish(3, server)[0]
			u.feed.neverWaited()
			checkLate(t, u, a, server, cut)
		})
	}
}

// TestHalfOpen: the link is dead for good, with both connections open; vw-push finds it within --dead-after.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	server := newSink(t, listen(t), nil)
	l := newLink(t, listenAt(t, "127.0.0.1", smallBuffer), always(server.addr))
	u := startUplink(t, nil, "--dead-after", "1s", "--dial-timeout", "500ms", l.url)
	u.begin(server, 100_000)
	revive := l.die()
	at := time.Now()
	u.push.find(u.push.stderr, `the link is dead`)
	if took := time.Since(at); took > 15*time.Second { // what --dead-after is by default
		t.Errorf("found after %v", took)
	}
	revive()
	u.fresh(server)
	a := u.finish(3, server)[0]
	u.feed.neverWaited()
	if len(server.connections()) < 2 {
		t.Errorf("%+v", a)
	}
}

// TestSlowLink: a link that carries a fifth of the stream (VW_TEST_RATE bytes a second) is never cut, and what it
// carries is no older than --max-age and the time that the link needs for one group of pictures and for what sits in
// the kernels: 64 KiB that are not sent (TCP_NOTSENT_LOWAT), and small buffers of the link and the server.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	rate := setting(t, "VW_TEST_RATE", 32_000)
	seconds := setting(t, "VW_TEST_SLOW_SECONDS", 9)
	server := newSink(t, listenAt(t, "127.0.0.1", smallBuffer), nil)
	// small, or the acknowledgements would come in fits
	l := newLink(t, listenAt(t, "127.0.0.1", 4<<10), always(server.addr))
	l.shape(rate)
	u := startUplink(t, nil, "--dead-after", "2s", "--linger", "1s", l.url)
	u.begin(server, 1000)
	time.Sleep(time.Duration(seconds) * time.Second)
	a := u.finish(3, server)[0]
	u.feed.neverWaited()
	group := longestGroup(u.feed.end())
	limit := maxAge + slack + time.Duration(group+(64+16)<<10+smallBuffer)*time.Second/time.Duration(rate)
	t.Logf("a group of %d bytes; nothing may be older than %v", group, limit)
	if n := len(server.connections()); n != 1 || a.oldest > limit || a.gaps == 0 {
		t.Errorf("%d connections, %d gaps, the oldest %v, which may be %v", n, a.gaps, a.oldest, limit)
	}
}
