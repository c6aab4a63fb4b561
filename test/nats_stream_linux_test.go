package test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// natsStream is a stream that vw-nats pub and vw-nats sub carry over a cluster, at a pace.
type natsStream struct {
	t        testing.TB
	c        *natsCluster
	name     string // of the subject, and of the JetStream stream
	ts       []byte
	common   []string
	feed     *feeder
	pub, sub *process
	file     string // what sub writes
	arrivals *arrivalTimes
}

// carry begins to carry ts, an access unit at a time, with flags of pub and of sub.
func (c *natsCluster) carry(name string, ts []byte, every time.Duration, pub, sub []string) *natsStream {
	s := &natsStream{t: c.t, c: c, name: name, ts: ts,
		common: []string{"--server", c.urls(), "--retain", name, "--backoff-max", "1s"}}
	r, w := pipe(c.t)
	s.pub = start(c.t, wiring{stdin: r}, "vw-nats", slices.Concat([]string{"pub"}, pub, s.common, []string{name})...)
	r.Close()
	s.pub.find(s.pub.stderr, "msg=connected")
	if slices.Contains(pub, "--create") {
		s.pub.find(s.pub.stderr, "JetStream stream created")
	}
	s.sub, s.file = startSub(c.t, slices.Concat(sub, s.common, []string{name})...)
	s.sub.find(s.sub.stderr, "msg=connected")
	s.feed = newFeeder(c.t, w, every, byFrame(ts))
	s.arrivals = watchArrivals(c.t, s.file)
	s.arrivals.reaches(1)
	return s
}

// join begins to watch, and says how long after a moment the first byte came.
func (s *natsStream) join(at time.Time) {
	s.t.Helper()
	p, file := startSub(s.t, slices.Concat([]string{"--live"}, s.common, []string{s.name})...)
	grows(s.t, file, 1)
	took := since(at)
	s.t.Logf("whoever joins then has the first byte %v after the kill", took)
	if allOfNATS() && took > maxJoin {
		s.t.Errorf("more than %v", maxJoin)
	}
	grows(s.t, file, 50_000)
	p.signal(syscall.SIGTERM)
	p.wait()
	startsWithKeyframe(s.t, file)
	decodes(s.t, file)
}

// finish ends the stream, and expects the status of both tools, unless that is negative.
func (s *natsStream) finish(status int) {
	s.t.Helper()
	sent := s.feed.end()
	if s.pub.wait() != max(status, 0) && status >= 0 {
		s.t.Fatalf("%s", s.pub.stderr)
	}
	// The last packets may be tables, or the beginning of a picture: they are held back until more comes, or the end.
	tail := sent[max(0, len(sent)-188*200) : len(sent)-188*32]
	testwait.Eventually(s.t, "the end of "+s.name, func() bool {
		f, err := os.Open(s.file)
		if err != nil {
			return false
		}
		defer f.Close()
		b := make([]byte, 1<<20)
		info, _ := f.Stat()
		n, _ := f.ReadAt(b, max(0, info.Size()-int64(len(b))))
		return bytes.Contains(b[:n], tail)
	})
	s.sub.signal(syscall.SIGTERM)
	if got := s.sub.wait(); status >= 0 && got != status {
		s.t.Fatalf("%s: status %d, want %d", s.sub.stderr, got, status)
	}
	if b := read(s.t, s.file); !bytes.HasSuffix(b, sent[len(sent)-188*100:]) {
		s.t.Errorf("%s: the end is not that of what was sent", s.name)
	}
}

// checkLive checks what a live stream has come to: all that was published and did not arrive is in sub's ledger, and
// what arrived decodes.
func (s *natsStream) checkLive() {
	s.t.Helper()
	pub, sub := s.pub.account(), s.sub.account()
	dropped := sub.Out[0].Dropped.Sum()
	if status := s.sub.wait(); dropped > 0 && status != 3 || dropped == 0 && status != 0 {
		s.t.Errorf("live: status %d with %d bytes dropped", status, dropped)
	}
	published := pub.In.Bytes - pub.Out[0].Dropped.Sum()
	s.t.Logf("live: %d bytes read, %d published, %d came, dropped by pub %+v, by sub %+v", pub.In.Bytes, published,
		sub.In.Bytes, pub.Out[0].Dropped, sub.Out[0].Dropped)
	// It began with the first group, or with a later one if the machine was slow. pub puts PAT and PMT in front of
	// those with which sub begins anew.
	from, tables := int(published-sub.In.Bytes), 2*(1+strings.Count(s.sub.stderr.String(), "part of the stream"))
	for ; tables > 0 && !beginsGroup(s.ts, from); tables-- {
		from += mpegts.PacketSize
	}
	if !beginsGroup(s.ts, from) {
		s.t.Errorf("live: about %d bytes are in no ledger", from)
	}
	if size, out := size(s.t, s.file), sub.Out[0]; size != out.Written+out.Injected {
		s.t.Errorf("live: %d bytes are written, %d and %d in the ledger", size, out.Written, out.Injected)
	}
	startsWithKeyframe(s.t, s.file)
	decodes(s.t, s.file)
}

// beginsGroup reports whether a group of pictures, or the tables in front of one, begins at a byte of ts.
func beginsGroup(ts []byte, at int) bool {
	if at < 0 || at >= len(ts) || at%mpegts.PacketSize != 0 {
		return false
	}
	for _, mark := range new(mpegts.Scanner).AppendMarks(nil, ts)[at/mpegts.PacketSize:] {
		if mark&mpegts.PSI == 0 {
			return mark&mpegts.RandomAccess != 0
		}
	}
	return false
}

// arrivalTimes is when a file has grown.
type arrivalTimes struct {
	t    testing.TB
	file string

	mu      sync.Mutex
	size    int64
	at      time.Time
	longest time.Duration // that it has not grown for
	resumed time.Time     // when it grew after that
}

func watchArrivals(t testing.TB, file string) *arrivalTimes {
	a := &arrivalTimes{t: t, file: file, at: time.Now()}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for tick := time.Tick(5 * time.Millisecond); ; {
			select {
			case <-tick:
				a.look()
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		watching.Wait()
	})
	return a
}

func (a *arrivalTimes) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if stood := now.Sub(a.at); stood > a.longest {
		a.longest, a.resumed = stood, now
	}
	if info, err := os.Stat(a.file); err == nil && info.Size() != a.size {
		a.size, a.at = info.Size(), now
	}
}

// reset begins anew, and returns the size.
func (a *arrivalTimes) reset() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.longest, a.at = 0, time.Now()
	return a.size
}

// pause is the longest time in which nothing came, and when it ended.
func (a *arrivalTimes) pause() (time.Duration, time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.longest.Round(time.Millisecond), a.resumed
}

// reaches waits until the file has so many bytes.
func (a *arrivalTimes) reaches(size int64) {
	a.t.Helper()
	grows(a.t, a.file, size)
	a.look()
}

func size(t testing.TB, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
