package test

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// blockedHop is a hop without --live whose far end, out, takes nothing.
type blockedHop struct {
	source       []byte
	push, ingest *process
	out          *os.File
	counts       stream.Counts // of vw-push
}

func newBlockedHop(t *testing.T) *blockedHop {
	h := &blockedHop{source: tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 60, FramePackets: 50, Audio: true}, 600)}
	r, w := pipe(t)
	h.out = r
	h.ingest = start(t, wiring{stdout: w}, "vw-ingest", "--listen", "127.0.0.1:0", "--buffer", "256KiB",
		"--idle-timeout", "1s")
	w.Close()
	h.push = start(t, wiring{stdin: bytes.NewReader(h.source)}, "vw-push", "--buffer", "256KiB", "--dead-after", "7s",
		"ws"+strings.TrimPrefix(ingestURL(h.ingest), "http"))
	h.push.find(h.push.stderr, "msg=connected")
	s, _ := settled(h.push)
	h.counts = s.Out[0]
	if h.counts.Unconfirmed+h.counts.Held == 0 || h.counts.Confirmed == 0 {
		t.Fatalf("the hop is not blocked: %+v", h.counts)
	}
	return h
}

// rest returns what comes out of the hop until vw-ingest has ended.
func (h *blockedHop) rest() <-chan []byte {
	arrived := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(h.out) // what is missing shows
		arrived <- b
	}()
	return arrived
}

// TestBlockedHop: a hop without --live whose far end takes nothing stands still, for longer than --dead-after, without
// a new connection. Neither end counts for how long: vw-ingest sends a sign of life every 5 s and each of them begins
// --dead-after anew, so two signs of life are as good as those of an hour. VW_TEST_BLOCKED is for how many seconds.
func TestBlockedHop(t *testing.T) {
	t.Parallel()
	blocked := time.Duration(setting(t, "VW_TEST_BLOCKED", 13)) * time.Second
	h := newBlockedHop(t)
	time.Sleep(blocked)
	if after, _ := settled(h.push); after.Out[0] != h.counts {
		t.Errorf("the hop did not stand still: %+v, then %+v", h.counts, after.Out[0])
	}
	arrived := h.rest()
	h.push.expect(0)
	h.push.all(int64(len(h.source)))
	if c := h.push.account().Out[0]; c.Connects != 1 || c.Resent != 0 {
		t.Errorf("%d connections, %d bytes resent; stderr:\n%s", c.Connects, c.Resent, h.push.stderr)
	}
	h.ingest.signal(syscall.SIGTERM)
	h.ingest.expect(0)
	same(t, "what came out", <-arrived, h.source)
}

// TestKilledIngestHasDelivered: what vw-push has counted as confirmed is in the pipe of a vw-ingest that is killed
// while it holds as much as it may.
func TestKilledIngestHasDelivered(t *testing.T) {
	t.Parallel()
	h := newBlockedHop(t)
	h.ingest.signal(syscall.SIGKILL)
	b := <-h.rest()
	if int64(len(b)) < h.counts.Confirmed || !bytes.HasPrefix(h.source, b) {
		t.Errorf("%d bytes came out, and %d had been confirmed", len(b), h.counts.Confirmed)
	}
}

// TestPublisherReplacesItself: a vw-push whose connection is half-open, which vw-ingest does not know, gets in again at
// once and in place of the old connection, although only one publisher may be there.
func TestPublisherReplacesItself(t *testing.T) {
	t.Parallel()
	source := tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 60, FramePackets: 50, Audio: true}, 100)
	ingest := start(t, wiring{}, "vw-ingest", "--listen", "127.0.0.1:0", "--idle-timeout", "1h")
	url := ingestURL(ingest)
	addr := url[len("http://") : len(url)-1]
	l := newLink(t, listenAt(t, "127.0.0.1", smallBuffer), func(n int) plan {
		if n == 0 { // the cable is pulled, with both connections open
			return plan{to: addr, after: 200_000, halt: true}
		}
		return plan{to: addr}
	})
	push := start(t, wiring{stdin: bytes.NewReader(source)}, "vw-push", "--buffer", "256KiB", "--dead-after", "1s",
		"--backoff-min", "1ms", l.url)
	push.expect(0)
	push.all(int64(len(source)))
	if c := push.account().Out[0]; c.Connects < 2 {
		t.Errorf("%d connections; stderr:\n%s", c.Connects, push.stderr)
	}
	ingest.find(ingest.stderr, "another publisher has taken over")
	if s := push.stderr.String(); regexp.MustCompile(`\b409\b`).MatchString(s) { // a port may contain it
		t.Errorf("vw-push was refused:\n%s", s)
	}
	ingest.signal(syscall.SIGTERM)
	ingest.wait()
	out := []byte(ingest.stdout.String())
	// What came over the first connection, and the rest from somewhere in it on.
	first := 0
	for first < len(out) && first < len(source) && out[first] == source[first] {
		first++
	}
	if rest := out[first:]; !bytes.HasSuffix(source, rest) || first+len(rest) < len(source) {
		t.Errorf("%d bytes came out; they are not the source, %d bytes, with a repeat", len(out), len(source))
	}
}
