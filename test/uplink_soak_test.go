//go:build linux

package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// TestSoak streams for a while over a link on which everything goes wrong at random, and looks at memory, descriptors,
// the account, and what arrived. VW_TEST_SOAK_SECONDS says for how long; scripts/soak is the long version.
func TestSoak(t *testing.T) {
	t.Parallel()
	seconds := setting(t, "VW_TEST_SOAK_SECONDS", 30)
	random := rand.New(rand.NewPCG(seed(t), 5))
	source := longSample(t, "mpeg1.ts", seconds/4+4)

	f := newFarm(t, random.Uint64(), 800_000)
	stable := newSink(t, listen(t), nil)
	perSecond := 90_000 // of the sample: 86 kB/s is its own pace
	u := liveUplink(t, tool(t, "vw-push"), portions(source, perSecond/50), 20*time.Millisecond, "--log", "json",
		"--max-age", maxAge.String(), "--dead-after", "4s",
		"--dial-timeout", "1s", "--backoff-min", "10ms", "--backoff-max", "500ms", f.link.url, stable.url)
	u.begin(stable, 10_000)
	f.someBytes()
	before := u.push.descriptors()

	var memory []int
	deadline := time.After(time.Duration(seconds) * time.Second)
	sample := time.NewTicker(max(time.Duration(seconds)*time.Second/30, time.Second))
	defer sample.Stop()
	trouble := time.NewTimer(time.Second)
	stalls := 0
	var revive func()
	for over := false; !over; {
		select {
		case c := <-f.link.due:
			f.strike(c)
		case <-sample.C:
			memory = append(memory, u.push.status("VmRSS"))
			c := f.summary()
			t.Logf("%d KiB, %d descriptors, %d connections, %d stalls; %s", memory[len(memory)-1], u.push.descriptors(),
				len(f.link.connections()), stalls, c)
		case <-trouble.C:
			if revive == nil {
				revive = f.link.die()
				stalls++
				trouble.Reset(time.Duration(random.IntN(5000)) * time.Millisecond)
				break
			}
			revive()
			revive = nil
			if all := f.link.connections(); random.IntN(2) == 0 {
				f.link.reset(all[len(all)-1])
			}
			trouble.Reset(time.Duration(1000+random.IntN(6000)) * time.Millisecond)
		case <-u.push.done:
			t.Fatal("vw-push ended")
		case <-deadline:
			over = true
		}
	}
	if revive != nil {
		revive()
	}
	f.calm.Store(true)
	testwait.Eventually(t, "as many descriptors as at the start", func() bool { return u.push.descriptors() == before })
	sent := make(chan []byte, 1)
	go func() { sent <- u.feed.end() }()
	for over := false; !over; {
		select {
		case c := <-f.link.due:
			f.strike(c)
		case <-u.push.done:
			over = true
		}
	}
	f.close()
	u.feed.neverWaited()
	checkSoak(t, u, f, stable, <-sent)

	// The first third may still grow: buffers are made when they are first needed.
	early, late := slices.Max(memory[:len(memory)/3+1]), slices.Max(memory[len(memory)/3:])
	t.Logf("memory: %d KiB at most in the first third, %d KiB after that; %d descriptors at the start and the end",
		early, late, before)
	if late > early+8<<10 {
		t.Errorf("memory grew from %d KiB to %d KiB", early, late)
	}
}

// someBytes waits until a connection has carried something.
func (f *farm) someBytes() {
	f.t.Helper()
	testwait.Eventually(f.t, "a connection over the bad link", func() bool {
		return len(f.sink.connections()) > 0 ||
			len(f.pieces()) > 0
	})
}

// checkSoak checks the account, and what arrived over the bad link and over the good one.
func checkSoak(t *testing.T, u *uplink, f *farm, stable *sink, source []byte) {
	t.Helper()
	u.push.expect(3)
	s := u.push.account()
	follow := followed{original: takeApart(source)}
	gaps, arrived := 0, int64(0)
	for i, p := range f.pieces() {
		if len(p) < mpegts.PacketSize {
			continue
		}
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%04d.ts", i))
		places, g := follow.piece(t, name, p)
		gaps += g
		for _, place := range places {
			if place != injected {
				arrived += mpegts.PacketSize
			}
		}
		if err := os.WriteFile(name, p, 0o644); err != nil {
			t.Fatal(err)
		}
		clean(t, name, p)
		startsWithKeyframe(t, name)
		decodesWhole(t, name)
	}
	bad, good := s.Out[0], s.Out[1]
	if arrived < bad.Confirmed || arrived > bad.Confirmed+bad.Dropped.Lost {
		t.Errorf("%d bytes arrived: %+v", arrived, bad)
	}
	t.Logf("%d of %d bytes arrived over %d connections, %d gaps inside: %+v", arrived, bad.In, bad.Connects, gaps,
		bad.Dropped)
	whole := len(source) / mpegts.PacketSize * mpegts.PacketSize // what is torn off at the end is dropped
	b, _ := stable.connections()[0].received()
	same(t, "what the other destination got", b, source[:whole])
	if good.Connects != 1 || good.Confirmed != int64(whole) {
		t.Errorf("the other destination: %+v", good)
	}
}
