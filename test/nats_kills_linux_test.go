package test

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestNATSKills: a camera goes over a cluster of three twice, live and lossless, while nodes are killed or frozen, one
// after the other. Lossless: nothing is missing, in order, and both ledgers say so. Live: all that arrives decodes, and
// what is missing is in the subscriber's ledger. VW_TEST_KILLS is how many nodes; five are one of each kind.
func TestNATSKills(t *testing.T) {
	t.Parallel()
	c := startNATS(t, 3, "")
	ts := longSample(t, "mpeg1.ts", 60)
	carry := func(name string, pubArgs, subArgs []string) (feed *feeder, pub, sub *process, file string) {
		common := []string{"--server", c.urls(), "--retain", name, "--backoff-max", "1s"}
		r, w := pipe(t)
		feed = newFeeder(t, w, frameTime, byFrame(ts))
		args := append(append([]string{"pub", "--create", "--replicas", "3"}, pubArgs...), common...)
		pub = start(t, wiring{stdin: r}, "vw-nats", append(args, name)...)
		r.Close()
		pub.find(pub.stderr, "JetStream stream created")
		sub, file = startSub(t, append(append(subArgs, common...), name)...)
		grows(t, file, 1)
		return feed, pub, sub, file
	}
	keptFeed, keptPub, keptSub, keptFile := carry("kept", nil, []string{"--durable", "d"})
	liveFeed, livePub, liveSub, liveFile := carry("live", []string{"--live", "--max-age", "10s"}, []string{"--live"})

	faults := []struct {
		name string
		node func() *natsNode
		how  syscall.Signal
	}{
		{"the publisher's node killed", func() *natsNode { return c.nodeOf(livePub) }, syscall.SIGKILL},
		{"the stream's leader killed", func() *natsNode { return c.leader("kept") }, syscall.SIGKILL},
		{"the subscriber's node frozen", func() *natsNode { return c.nodeOf(liveSub) }, syscall.SIGSTOP},
		{"the subscriber's node killed", func() *natsNode { return c.nodeOf(keptSub) }, syscall.SIGKILL},
		{"the publisher's node frozen", func() *natsNode { return c.nodeOf(keptPub) }, syscall.SIGSTOP},
	}
	for i := range setting(t, "VW_TEST_KILLS", 2) {
		c.whole("kept")
		c.whole("live")
		f := faults[i%len(faults)]
		node := f.node()
		at := time.Now()
		keptSize, liveSize := size(t, keptFile), size(t, liveFile)
		node.signal(f.how)
		// More than what may have been on its way.
		grows(t, liveFile, liveSize+150_000)
		liveTook := time.Since(at)
		grows(t, keptFile, keptSize+150_000)
		t.Logf("%s (%s): 150 kB more of live after %v, of lossless after %v", f.name, node.name,
			liveTook.Round(time.Millisecond), time.Since(at).Round(time.Millisecond))
		if f.how == syscall.SIGSTOP {
			node.signal(syscall.SIGCONT)
		} else {
			node.wait()
			node.start()
		}
	}
	keptFeed.end()
	liveFeed.end()
	keptPub.expect(0)
	livePub.wait()
	sent := keptFeed.stream
	keptPub.all(int64(len(sent)))
	grows(t, keptFile, int64(len(sent)))
	keptSub.signal(syscall.SIGTERM)
	keptSub.expect(0)
	keptSub.all(int64(len(sent)))
	same(t, "lossless", read(t, keptFile), sent)

	published := livePub.account().Out[0]
	if n := published.Dropped; n.Age+n.Full > 0 {
		t.Errorf("live: vw-nats pub dropped %+v", n)
	}
	tail := liveFeed.stream[len(liveFeed.stream)-188*200:]
	// The last packets may be tables, or the beginning of a picture: they are held back until more comes, or the end.
	testwait.Eventually(t, "the end of live", func() bool {
		return bytes.Contains(read(t, liveFile), tail[:len(tail)-188*32])
	})
	liveSub.signal(syscall.SIGTERM)
	status := liveSub.wait()
	if !bytes.HasSuffix(read(t, liveFile), tail) {
		t.Error("live: the end is not that of what was sent")
	}
	got := liveSub.account()
	if missing := got.Out[0].Dropped.Sum(); missing > 0 && status != 3 || missing == 0 && status != 0 {
		t.Errorf("live: status %d with %d bytes dropped", status, missing)
	}
	t.Logf("live: %d bytes sent, %d came, dropped %+v", len(liveFeed.stream), got.In.Bytes, got.Out[0].Dropped)
	startsWithKeyframe(t, liveFile)
	decodes(t, liveFile)
}

func size(t testing.TB, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
