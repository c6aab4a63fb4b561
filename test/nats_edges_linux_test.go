package test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// edge is vw-nats sub | vw-push --live --listen, at one node.
type edge struct {
	sub, push *process
	url       string // of the page
}

func startEdge(t testing.TB, c *natsCluster, n int) *edge {
	t.Helper()
	servers := c.nodes[n].url // of the others it learns
	r, w := pipe(t)
	e := &edge{sub: start(t, wiring{stdout: w}, "vw-nats", "sub", "--live", "--retain", "cam", "--server", servers,
		"--backoff-max", "1s", "cam")}
	e.push = start(t, wiring{stdin: r}, "vw-push", "--live", "--listen", "127.0.0.1:0")
	r.Close()
	w.Close()
	e.url = e.push.find(e.push.stderr, `msg="listening for viewers".*url=(\S+)`)
	e.sub.find(e.sub.stderr, "msg=connected")
	return e
}

// watcher is a viewer in the test's process that keeps nothing.
type watcher struct {
	got atomic.Int64
}

func watchEdge(t testing.TB, e *edge) *watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn, err := wsconn.Dial(ctx, strings.Replace(e.url, "http://", "ws://", 1), wsconn.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, done := new(watcher), make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, r, err := conn.NextMessage(context.Background())
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, r)
			w.got.Add(n)
		}
	}()
	t.Cleanup(func() {
		conn.CloseNow()
		<-done
	})
	return w
}

// TestNATSEdges: viewers watch one camera at three edges of a cluster, and go on watching, on the same connections,
// when the node of one edge is killed; so does a page in a browser. VW_TEST_NATS=all has 200 viewers.
func TestNATSEdges(t *testing.T) {
	t.Parallel()
	needPlayers(t)
	viewers := 12
	if allOfNATS() {
		viewers = 200
	}
	c := startNATS(t, 3, "")
	r, w := pipe(t)
	source := readableCamera{codec: "mpeg1", size: "640x360", gop: 25}
	camera := start(t, wiring{stdout: w}, "ffmpeg", source.args("-")...)
	w.Close()
	pub := start(t, wiring{stdin: r}, "vw-nats", "pub", "--live", "--create", "--replicas", "3", "--retain", "cam",
		"--server", c.urls(), "--backoff-max", "1s", "cam")
	r.Close()
	pub.find(pub.stderr, "JetStream stream created")
	var edges []*edge
	var all []*watcher
	for n := range c.nodes {
		e := startEdge(t, c, n)
		edges = append(edges, e)
		for range (viewers - len(all)) / (len(c.nodes) - n) {
			all = append(all, watchEdge(t, e))
		}
	}
	page := openTab(t, edges[0].url)
	page.plays(25)
	moreForAll := func(what string) {
		t.Helper()
		var from []int64
		for _, w := range all {
			from = append(from, w.got.Load())
		}
		testwait.Eventually(t, what, func() bool {
			for i, w := range all {
				if w.got.Load() < from[i]+200_000 {
					return false
				}
			}
			return true
		})
	}
	moreForAll("all viewers see the camera")
	node := c.nodeOf(edges[0].sub)
	at := time.Now()
	node.signal(syscall.SIGKILL)
	moreForAll("all viewers go on")
	seen := page.plays(50)
	t.Logf("%d viewers and a page go on %v after %s was killed; the page is %d ms behind the camera", len(all),
		since(at), node.name, seen.Delay)
	camera.signal(syscall.SIGTERM)
	camera.wait()
	pub.wait()
}
