package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// frameTime is the time of a picture of the samples.
const frameTime = 40 * time.Millisecond

// natsNode is a nats-server, which can be killed and started again at the same address.
type natsNode struct {
	*process
	t      testing.TB
	name   string
	folder string
	config string
	url    string // once it runs
}

// natsCluster is nats-servers that know each other.
type natsCluster struct {
	t     testing.TB
	nodes []*natsNode
}

// startNATS starts n nodes with JetStream. config is added to the configuration of each.
func startNATS(t testing.TB, n int, config string) *natsCluster {
	t.Helper()
	c := &natsCluster{t: t}
	addrs := freeAddrs(t, 2*n)
	for i := range n {
		node := &natsNode{t: t, name: fmt.Sprintf("n%d", i+1), folder: t.TempDir()}
		node.config = fmt.Sprintf("server_name: %s\nlisten: %s\njetstream { store_dir: %q }\nwrite_deadline: 2s\n%s\n",
			node.name, addrs[i], filepath.Join(node.folder, "store"), config)
		if n > 1 {
			node.config += fmt.Sprintf("cluster { name: c, listen: %q, routes: [ nats://%s ] }\n", addrs[n+i],
				strings.Join(addrs[n:], ", nats://"))
		}
		c.nodes = append(c.nodes, node)
		node.start()
	}
	if n == 1 {
		c.nodes[0].find(c.nodes[0].stderr, `Server is ready`)
		return c
	}
	testwait.Eventually(t, "a leader of the cluster", func() bool {
		nc, js := c.client()
		defer nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ready", Subjects: []string{"ready"}, Replicas: n})
		return err == nil
	})
	return c
}

// freeAddrs returns addresses on loopback that nobody listens at.
func freeAddrs(t testing.TB, n int) (addrs []string) {
	t.Helper()
	for range n {
		ln := listen(t)
		defer ln.Close() // when all are known, so that none comes twice
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// start starts the node, maybe again.
func (n *natsNode) start() {
	n.t.Helper()
	file := filepath.Join(n.folder, "node.conf")
	if err := os.WriteFile(file, []byte(n.config), 0o644); err != nil {
		n.t.Fatal(err)
	}
	n.process = start(n.t, wiring{}, "nats-server", "-c", file)
	n.url = "nats://" + n.find(n.stderr, `Listening for client connections on (\S+)`)
}

// urls are those of all nodes.
func (c *natsCluster) urls() string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.url)
	}
	return strings.Join(all, ",")
}

// client returns a client of the test's own.
func (c *natsCluster) client() (*nats.Conn, jetstream.JetStream) {
	c.t.Helper()
	nc, err := nats.Connect(c.urls(), nats.Timeout(10*time.Second))
	if err != nil {
		c.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	return nc, js
}

// leader returns the node that leads a stream.
func (c *natsCluster) leader(stream string) (leader *natsNode) {
	c.t.Helper()
	nc, js := c.client()
	defer nc.Close()
	testwait.Eventually(c.t, "a leader of "+stream, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		for _, n := range c.nodes {
			if n.name == s.CachedInfo().Cluster.Leader {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// leadersChosen is when the nodes have last chosen a leader of a stream or of its consumer, between two moments; the
// first of them if they have chosen none.
func (c *natsCluster) leadersChosen(stream string, from, to time.Time) time.Time {
	c.t.Helper()
	last := from
	line := regexp.MustCompile(`(?m)\] (\S+ \S+) \[INF\] JetStream cluster new (?:stream|consumer) leader for '\S+ > ` +
		stream + `[' ]`)
	for _, n := range c.nodes {
		for _, m := range line.FindAllStringSubmatch(n.stderr.String(), -1) {
			at, err := time.ParseInLocation("2006/01/02 15:04:05.000000", m[1], time.Local)
			if err != nil {
				c.t.Fatal(err)
			}
			if at.After(last) && at.Before(to) {
				last = at
			}
		}
	}
	return last
}

// whole waits until all replicas of a stream and of its consumers are up to date, so that the next kill leaves a
// majority.
func (c *natsCluster) whole(stream string) {
	c.t.Helper()
	nc, js := c.client()
	defer nc.Close()
	testwait.Eventually(c.t, stream+" on all nodes", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || !c.current(s.CachedInfo().Cluster) {
			return false
		}
		consumers := s.ListConsumers(ctx)
		for info := range consumers.Info() {
			if !c.current(info.Cluster) {
				return false
			}
		}
		return consumers.Err() == nil
	})
}

// current reports whether all nodes have all there is of a stream or a consumer.
func (c *natsCluster) current(info *jetstream.ClusterInfo) bool {
	return info != nil && len(info.Replicas) == len(c.nodes)-1 &&
		!slices.ContainsFunc(info.Replicas, func(r *jetstream.PeerInfo) bool { return !r.Current || r.Offline })
}

// nodeOf returns the node that a tool is connected to, by the last line of its log about that.
func (c *natsCluster) nodeOf(p *process) *natsNode {
	c.t.Helper()
	p.find(p.stderr, `msg=connected`)
	at := strings.LastIndex(p.stderr.String(), "msg=connected")
	for _, n := range c.nodes {
		if strings.Contains(p.stderr.String()[at:], n.url+" ") {
			return n
		}
	}
	c.t.Fatalf("%s is connected to none of %s", p.name, c.urls())
	return nil
}

// byFrame returns a function for a feeder that adds one access unit of ts at a time, and stops at its end. What is fed
// are parts of ts: to copy some hundred megabytes holds a feeder up, for seconds on a machine that is busy.
func byFrame(ts []byte) func(fed []byte) []byte {
	var ends []int
	for i, mark := range new(mpegts.Scanner).AppendMarks(nil, ts) {
		if mark&mpegts.AccessUnit != 0 && i > 0 {
			ends = append(ends, i*mpegts.PacketSize)
		}
	}
	ends = append(ends, len(ts))
	return func(fed []byte) []byte {
		if len(ends) == 0 {
			return fed
		}
		end := ends[0]
		ends = ends[1:]
		return ts[:end:end]
	}
}

// startSub starts vw-nats sub with standard output in a file, and returns that.
func startSub(t testing.TB, args ...string) (p *process, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "out.ts")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	return start(t, wiring{stdout: out}, "vw-nats", append([]string{"sub"}, args...)...), file
}

// grows waits until a file has so many bytes.
func grows(t testing.TB, file string, size int64) {
	t.Helper()
	testwait.Eventually(t, fmt.Sprintf("%d bytes in %s", size, filepath.Base(file)), func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() >= size
	})
}
