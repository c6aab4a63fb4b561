//go:build linux

package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
)

const (
	// maxAge is what the tests give vw-push; slack is what a busy machine may add.
	maxAge = time.Second
	slack  = 700 * time.Millisecond
	// smallBuffer is what a server's kernel takes that the server does not read, in bytes.
	smallBuffer = 32 << 10
	// inKernel is what vw-push's own kernel holds at most: what is not sent yet (TCP_NOTSENT_LOWAT), with what is on
	// the way on a link without delay, and a server's small buffer.
	inKernel = 64<<10 + 64<<10 + smallBuffer
)

// plainPush builds vw-push without the race detector, for what is measured.
var plainPush = sync.OnceValues(func() (string, error) {
	folder, err := buildTools()
	if err != nil {
		return "", err
	}
	name := filepath.Join(folder, "plain-vw-push")
	out, err := exec.Command("go", "build", "-o", name, "../cmd/vw-push").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build vw-push: %w\n%s", err, out)
	}
	return name, nil
})

// uplink is a vw-push --live that a camera feeds.
type uplink struct {
	t    testing.TB
	push *process
	feed *feeder
	// begun is when measuring began: no process is fast when it starts.
	begun time.Time
}

// startUplink starts one; ns is nil for this machine's own network.
func startUplink(t testing.TB, ns *namespace, args ...string) *uplink {
	t.Helper()
	r, w := pipe(t)
	args = append([]string{"--live", "--max-age", maxAge.String(), "--backoff-min", "20ms", "--backoff-max", "100ms"},
		args...)
	u := &uplink{t: t}
	if ns == nil {
		u.push = start(t, wiring{stdin: r}, "vw-push", args...)
	} else {
		u.push = ns.start(wiring{stdin: r}, nil, "vw-push", args...)
	}
	r.Close()
	u.feed = newFeeder(t, w, 40*time.Millisecond, camera1300(1).Frame)
	return u
}

// begin waits until so many bytes have arrived: what is measured begins then.
func (u *uplink) begin(server *sink, bytes int) *sunk {
	u.t.Helper()
	c := server.wait(u.t, 0, bytes)
	u.feed.mu.Lock()
	defer u.feed.mu.Unlock()
	u.feed.backlog, u.feed.waited, u.feed.each = 0, 0, nil
	u.begun = time.Now()
	return c
}

// arrived is what the connections of a server have brought, as far as times go.
type arrived struct {
	bytes, late int           // late: older than --max-age
	lateAgain   int           // late, and not on the first connection
	oldest      time.Duration // of all
	gaps        int
	ages        []time.Duration
}

// finish ends the stream, and checks what arrived at a server, and the account of it.
func (u *uplink) finish(status int, servers ...*sink) []arrived {
	u.t.Helper()
	source := u.feed.end()
	u.push.expect(status)
	var all []arrived
	s := u.push.account()
	for i, server := range servers {
		a := u.check(source, server)
		c := s.Out[i]
		if s.In.Bytes != int64(len(source)) || int64(a.bytes) < c.Confirmed ||
			int64(a.bytes) > c.Confirmed+c.Dropped.Lost {
			u.t.Errorf("%d of %d bytes arrived, %d came in: %+v", a.bytes, len(source), s.In.Bytes, c)
		}
		all = append(all, a)
		u.t.Logf("%d of %d bytes arrived, the oldest %v old, %d older than --max-age; %d connections, %d gaps "+
			"inside; %+v",
			a.bytes, len(source), a.oldest.Round(time.Millisecond), a.late, len(server.connections()), a.gaps,
			c.Dropped)
	}
	return all
}

// check checks what arrived at one server.
func (u *uplink) check(source []byte, server *sink) (a arrived) {
	u.t.Helper()
	follow := followed{original: takeApart(source)}
	for i, c := range server.connections() {
		b, arrivals := c.received()
		if len(b) == 0 {
			continue
		}
		name := fmt.Sprintf("connection %d", i+1)
		places, gaps := follow.piece(u.t, name, b)
		a.gaps += gaps
		clean(u.t, name, b)
		from := 0
		for _, m := range arrivals {
			for k := from; k < m.end/mpegts.PacketSize && k < len(places); k++ {
				if places[k] == injected {
					continue
				}
				age := m.at.Sub(u.feed.when(places[k] * mpegts.PacketSize))
				a.bytes += mpegts.PacketSize
				if m.at.Before(u.begun) {
					continue
				}
				a.ages = append(a.ages, age)
				a.oldest = max(a.oldest, age)
				if age > maxAge+slack {
					a.late += mpegts.PacketSize
					if i > 0 {
						a.lateAgain += mpegts.PacketSize
					}
				}
			}
			from = m.end / mpegts.PacketSize
		}
		for k := from; k < len(places); k++ { // of a message that did not come whole
			if places[k] != injected {
				a.bytes += mpegts.PacketSize
			}
		}
	}
	return a
}

// longestGroup is how many bytes a group of pictures has at most.
func longestGroup(source []byte) int {
	o, begun, longest := takeApart(source), 0, 0
	for i, begins := range o.access {
		if begins {
			longest, begun = max(longest, i-begun), i
		}
	}
	return longest * mpegts.PacketSize
}

// fresh waits until what arrives now was written less than half a second ago.
func (u *uplink) fresh(server *sink) {
	u.t.Helper()
	since := time.Now()
	testwait.Eventually(u.t, "a fresh picture", func() bool {
		return slices.ContainsFunc(server.connections(), func(c *sunk) bool {
			b, arrivals := c.received()
			if len(b) < mpegts.PacketSize || len(arrivals) == 0 || arrivals[len(arrivals)-1].at.Before(since) {
				return false
			}
			u.feed.mu.Lock()
			place := tail(u.feed.stream, b)
			u.feed.mu.Unlock()
			return place >= 0 && arrivals[len(arrivals)-1].at.Sub(u.feed.when(place)) < 500*time.Millisecond
		})
	})
}

// tail returns the place in source of the last whole packet of b, looking from the end.
func tail(source, b []byte) int {
	last := len(b)/mpegts.PacketSize*mpegts.PacketSize - mpegts.PacketSize
	p := string(b[last : last+mpegts.PacketSize])
	for i := len(source) - mpegts.PacketSize; i >= 0; i -= mpegts.PacketSize {
		if string(source[i:i+mpegts.PacketSize]) == p {
			return i
		}
	}
	return -1
}

// quantiles says how old what arrived was.
func quantiles(ages []time.Duration) string {
	if len(ages) == 0 {
		return "nothing arrived"
	}
	slices.Sort(ages)
	at := func(p float64) time.Duration { return ages[int(p*float64(len(ages)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("median %v, 90%% %v, 99%% %v, max %v", at(0.5), at(0.9), at(0.99), at(1))
}
