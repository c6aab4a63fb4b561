package test

import (
	"bytes"
	"strings"
	"testing"
)

// TestNATSSlowLink: over a link that takes several seconds for a message, vw-nats pub sends each once. Over one that
// takes a fifth of a live stream, it drops what is too old. Neither link is taken for dead.
func TestNATSSlowLink(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 1, "")
	slow := func(rate int) []string {
		l := newLink(t, listenAt(t, "127.0.0.1", 4<<10), always(strings.TrimPrefix(c.nodes[0].url, "nats://")))
		l.shape(rate)
		return []string{"pub", "--server", strings.Replace(l.url, "ws://", "nats://", 1), "--dead-after", "3s"}
	}
	t.Run("lossless", func(t *testing.T) {
		t.Parallel()
		ts := read(t, sample("mpeg1.ts"))
		p := start(t, wiring{stdin: bytes.NewReader(ts)}, "vw-nats", append(slow(80_000), "--create", "--retain", "CAM",
			"cam")...)
		p.expect(0)
		p.all(int64(len(ts)))
		if out := p.account().Out[0]; out.Resent > 0 || out.Connects > 1 {
			t.Errorf("resent, or connected again: %+v\n%s", out, p.stderr)
		}
	})
	t.Run("live", func(t *testing.T) {
		t.Parallel()
		r, w := pipe(t)
		p := start(t, wiring{stdin: r}, "vw-nats", append(slow(32_000), "--live", "--linger", "3s", "live")...)
		r.Close()
		p.find(p.stderr, "msg=connected")
		feed := newFeeder(t, w, frameTime, byFrame(longSample(t, "mpeg1.ts", 2)))
		<-feed.done
		p.expect(3)
		if out := p.account().Out[0]; out.Connects > 1 || out.Dropped.Age == 0 {
			t.Errorf("connected again, or nothing is too old: %+v\n%s", out, p.stderr)
		}
	})
}
