package test

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// patient are flags with which a server may restart slowly: nothing is dropped meanwhile, and none is taken for dead.
var patient = []string{"--live", "--max-age", "1m", "--dead-after", "1m"}

// TestNATSServerRestarts: a server that restarts has forgotten the current group of a live stream, with the JetStream
// stream that held it. It is made again, for those who join after that.
func TestNATSServerRestarts(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 1, "")
	s := c.carry("cam", longSample(t, "mpeg1.ts", 100), frameTime, []string{"--live", "--create"}, []string{"--live"})
	c.nodes[0].signal(syscall.SIGKILL)
	c.nodes[0].wait()
	c.nodes[0].start()
	testwait.Eventually(t, "the stream of the current group", func() bool {
		nc, js := c.client()
		defer nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := js.Stream(ctx, "cam")
		return err == nil
	})
	s.join(time.Now())
	s.feed.end()
	s.pub.wait()
}

// TestNATSRefusedLater: a live stream goes on over one connection when a server that restarts no longer lets its users
// ask JetStream, which they do when they connect.
func TestNATSRefusedLater(t *testing.T) {
	t.Parallel()
	const users = `accounts { A { jetstream: enabled, users: [ { user: admin, password: pw },
		{ user: both, password: pw, permissions { publish: [ "cam", "$JS.API.STREAM.INFO.cam", "$JS.API.DIRECT.GET.>" ],
			subscribe: [ "cam", "_INBOX.>" ] } } ] } }`
	c := startNATS(t, 1, users)
	node := c.nodes[0]
	url := node.url
	createStream(t, strings.Replace(url, "://", "://admin:pw@", 1), `{ "name": "cam", "subjects": [ "cam" ],
		"storage": "file", "allow_direct": true, "allow_rollup_hdrs": true }`)
	node.url = strings.Replace(url, "://", "://both:pw@", 1)
	s := c.carry("cam", longSample(t, "mpeg1.ts", 200), frameTime/8, patient, patient)
	s.arrivals.reaches(2_000_000) // so that some of it is confirmed
	node.signal(syscall.SIGKILL)
	node.wait()
	node.config = strings.NewReplacer("$JS.API.STREAM", "other", "$JS.API.DIRECT", "other").Replace(node.config)
	node.start()
	s.arrivals.reaches(size(t, s.file) + 6_000_000)
	s.feed.end()
	s.pub.expect(0)
	s.sub.signal(syscall.SIGTERM)
	s.sub.wait()
	for _, p := range []*process{s.pub, s.sub} {
		if n := p.account().Out[0].Connects; n > 3 {
			t.Errorf("%d connections, of which one is lost and one refused\n%s", n, p.stderr)
		}
	}
}

// TestNATSShorterLater: a live stream goes on when a server that restarts takes only messages that are shorter than
// those that were not confirmed before.
func TestNATSShorterLater(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 1, "")
	node := c.nodes[0]
	s := c.carry("cam", longSample(t, "mpeg1.ts", 100), frameTime/4, append(slices.Clone(patient), "--create"), patient)
	node.signal(syscall.SIGSTOP)
	fed := func() int {
		s.feed.mu.Lock()
		defer s.feed.mu.Unlock()
		return len(s.feed.stream)
	}
	from := fed()
	testwait.Eventually(t, "pictures that nobody takes", func() bool { return fed() > from+100_000 })
	node.signal(syscall.SIGKILL)
	node.wait()
	node.config += "max_payload: 2KB\n"
	node.start()
	s.arrivals.reaches(size(t, s.file) + 300_000)
	s.pub.find(s.pub.stderr, "takes only shorter messages")
	s.feed.end()
	s.pub.expect(3)
	if out := s.pub.account().Out[0]; out.Dropped.Lost == 0 {
		t.Errorf("%+v", out)
	}
	s.sub.signal(syscall.SIGTERM)
	s.sub.wait()
	decodes(t, s.file)
}
