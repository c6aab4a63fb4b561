package test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

const (
	// maxCorePause is how long nothing may come over core NATS.
	maxCorePause = 3 * time.Second
	// maxJetStreamPause is how long nothing may come over JetStream, or maxAfterLeaders since its servers have chosen
	// leaders, if that is longer. It takes them 4 to 9 seconds, and 13 on a machine that is busy.
	maxJetStreamPause = 10 * time.Second
	maxAfterLeaders   = 3 * time.Second
	// maxFrozen is how long a tool may stay with a server that does not answer.
	maxFrozen = 3 * time.Second
	// maxJoin is how long whoever joins may wait for the first byte while there is no leader.
	maxJoin = 10 * time.Second
)

// natsFault is what happens to one node after the other.
type natsFault struct {
	name  string
	how   syscall.Signal
	nodes func(live, kept *natsStream) []*natsNode
	join  bool // somebody begins to watch while the stream has no leader
}

func one(n *natsNode) []*natsNode { return []*natsNode{n} }

// natsFaults are all. The first two are those of every run of the tests.
var natsFaults = []natsFault{
	{"live: publisher's node killed", syscall.SIGKILL,
		func(live, _ *natsStream) []*natsNode { return one(live.c.nodeOf(live.pub)) }, false},
	{"lossless: stream's leader killed", syscall.SIGKILL,
		func(_, kept *natsStream) []*natsNode { return one(kept.c.leader(kept.name)) }, false},
	{"live: subscriber's node frozen", syscall.SIGSTOP,
		func(live, _ *natsStream) []*natsNode { return one(live.c.nodeOf(live.sub)) }, false},
	{"lossless: publisher's node killed", syscall.SIGKILL,
		func(_, kept *natsStream) []*natsNode { return one(kept.c.nodeOf(kept.pub)) }, false},
	{"lossless: subscriber's node killed", syscall.SIGKILL,
		func(_, kept *natsStream) []*natsNode { return one(kept.c.nodeOf(kept.sub)) }, false},
	{"live: subscriber's node killed", syscall.SIGKILL,
		func(live, _ *natsStream) []*natsNode { return one(live.c.nodeOf(live.sub)) }, false},
	{"live: stream's leader killed", syscall.SIGKILL,
		func(live, _ *natsStream) []*natsNode { return one(live.c.leader(live.name)) }, true},
	{"lossless: stream's leader frozen", syscall.SIGSTOP,
		func(_, kept *natsStream) []*natsNode { return one(kept.c.leader(kept.name)) }, false},
	{"lossless: publisher's node frozen", syscall.SIGSTOP,
		func(_, kept *natsStream) []*natsNode { return one(kept.c.nodeOf(kept.pub)) }, false},
	{"lossless: subscriber's node frozen", syscall.SIGSTOP,
		func(_, kept *natsStream) []*natsNode { return one(kept.c.nodeOf(kept.sub)) }, false},
	{"live: publisher's node frozen", syscall.SIGSTOP,
		func(live, _ *natsStream) []*natsNode { return one(live.c.nodeOf(live.pub)) }, false},
	{"all nodes killed in turn", syscall.SIGKILL,
		func(live, _ *natsStream) []*natsNode { return live.c.nodes }, false},
}

// TestNATSKills: a stream goes over a cluster of three twice, live and lossless, while nodes are killed or frozen, one
// after the other. Lossless: nothing is missing, in order, and both ledgers say so. Live: all that arrives decodes, and
// what is missing is in the subscriber's ledger. VW_TEST_NATS=all has all faults, at a camera's pace and at forty times
// that, and limits the pauses, which a machine that does other things as well may fail. VW_TEST_NATS_FAULTS=frozen has
// those whose name matches, at a camera's pace.
func TestNATSKills(t *testing.T) {
	t.Parallel()
	if some := os.Getenv("VW_TEST_NATS_FAULTS"); some != "" {
		chosen := slices.DeleteFunc(slices.Clone(natsFaults), func(f natsFault) bool {
			return !regexp.MustCompile(some).MatchString(f.name)
		})
		killNodes(t, frameTime, 60*len(chosen), chosen)
		return
	}
	if !allOfNATS() {
		killNodes(t, frameTime, 60, natsFaults[:min(setting(t, "VW_TEST_KILLS", 2), len(natsFaults))])
		return
	}
	t.Run("camera", func(t *testing.T) { killNodes(t, frameTime, 120, natsFaults) })
	t.Run("flat out", func(t *testing.T) { killNodes(t, frameTime/40, 2500, natsFaults) })
}

// allOfNATS reports whether tests of NATS are to be run in their long forms.
func allOfNATS() bool { return os.Getenv("VW_TEST_NATS") == "all" }

func killNodes(t *testing.T, every time.Duration, times int, faults []natsFault) {
	c := startNATS(t, 3, "")
	ts := longSample(t, "mpeg1.ts", times)
	begin := func(name string, pub, sub []string) *natsStream {
		return c.carry(name, ts, every, append(pub, "--create", "--replicas", "3"), sub)
	}
	kept := begin("kept", nil, []string{"--durable", "d"})
	live := begin("live", []string{"--live", "--max-age", "10s"}, []string{"--live"})
	for _, f := range faults {
		nodes := f.nodes(live, kept)
		for _, node := range nodes {
			c.whole("kept")
			c.whole("live")
			f.strike(t, node, live, kept, int64(150_000*frameTime/every))
		}
	}
	kept.finish(0)
	same(t, "lossless", read(t, kept.file), kept.feed.stream)
	sent := int64(len(kept.feed.stream))
	kept.pub.all(sent)
	kept.sub.all(sent)
	live.finish(-1)
	live.checkLive()
}

// strike does to a node what the fault says, waits until more of both streams has come than may have been on its way,
// and has the node back.
func (f *natsFault) strike(t *testing.T, node *natsNode, live, kept *natsStream, more int64) {
	there := map[string]*process{"live pub": live.pub, "live sub": live.sub, "kept pub": kept.pub, "kept sub": kept.sub}
	maps.DeleteFunc(there, func(_ string, p *process) bool { return live.c.nodeOf(p) != node })
	liveSize, keptSize := live.arrivals.reset(), kept.arrivals.reset()
	at := time.Now()
	node.signal(f.how)
	if f.join {
		live.join(at)
	}
	for name, p := range there {
		testwait.Eventually(t, name+" goes to another node", func() bool { return live.c.nodeOf(p) != node })
		took := connectedAt(t, p).Sub(at)
		t.Logf("%s: %s is on another node after %v", f.name, name, took.Round(time.Millisecond))
		if allOfNATS() && took > maxFrozen {
			t.Errorf("more than %v", maxFrozen)
		}
	}
	live.arrivals.reaches(liveSize + more)
	kept.arrivals.reaches(keptSize + more)
	livePause, _ := live.arrivals.pause()
	keptPause, resumed := kept.arrivals.pause()
	chosen := live.c.leadersChosen(kept.name, at, resumed)
	after := min(keptPause, resumed.Sub(chosen)).Round(time.Millisecond)
	t.Logf("%s (%s): pause of live %v, of lossless %v, which is %v after the leaders were chosen", f.name, node.name,
		livePause, keptPause, after)
	if allOfNATS() && livePause > maxCorePause {
		t.Errorf("live: more than %v", maxCorePause)
	}
	if allOfNATS() && keptPause > maxJetStreamPause && after > maxAfterLeaders {
		t.Errorf("lossless: more than %v and %v", maxJetStreamPause, maxAfterLeaders)
	}
	if f.how == syscall.SIGSTOP {
		node.signal(syscall.SIGCONT)
	} else {
		node.wait()
		node.start()
	}
}

// connectedAt is when a tool has connected last.
func connectedAt(t testing.TB, p *process) time.Time {
	t.Helper()
	all := regexp.MustCompile(`time=(\S+) .*msg=connected `).FindAllStringSubmatch(p.stderr.String(), -1)
	at, err := time.Parse(time.RFC3339, all[len(all)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func since(at time.Time) time.Duration { return time.Since(at).Round(time.Millisecond) }
