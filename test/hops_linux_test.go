package test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// part is one of the tools of a chain.
type part int

// chainParts is how many parts a chain of three hops has: push | -> ingest | push -> ingest | push -> ingest >.
const chainParts part = 6

func (p part) isPush() bool { return p%2 == 0 }

func (p part) tool() string { return map[bool]string{true: "vw-push", false: "vw-ingest"}[p.isPush()] }

// hop is the hop at whose ends a part is, from 1.
func (p part) hop() int { return int(p)/2 + 1 }

const (
	// chainBuffer is --buffer without live. With it, the default holds what comes while a tool is started again.
	chainBuffer = 256 << 10
	// chainRead is the most that a tool reads at once, on top of what it holds.
	chainRead = 256 << 10
	// chainPipe is what the pipe between two tools holds at most.
	chainPipe = 1 << 20
)

// life is one process of a part, with its ledger at its end.
type life struct {
	*process
	part   part
	killed bool
	// exact says that ledger has all of a killed process.
	exact  bool
	file   string
	ledger stream.Snapshot
}

// chain is three hops that are killed part by part. A hop's tools are a pipeline, as of a shell: when one is killed,
// the other ends by itself, and both are started again.
type chain struct {
	t      *testing.T
	live   bool
	random *rand.Rand
	input  *os.File // what the first vw-push reads
	feed   *feeder
	gate   sync.Mutex         // whoever holds it keeps the feeder from writing
	addrs  [chainParts]string // of each vw-ingest
	now    [chainParts]*life
	all    []*life
	kills  [chainParts]int

	output  []*collected
	reading sync.WaitGroup
}

// collected is what one process wrote to its stdout.
type collected struct {
	mu sync.Mutex
	b  []byte
}

func newChain(t *testing.T, live bool) *chain {
	c := &chain{t: t, live: live, random: rand.New(rand.NewPCG(seed(t), 5))}
	c.startAfter(chainParts - 2)
	c.startAfter(chainParts - 4)
	c.startAfter(chainParts - 6)
	r, w := pipe(t)
	c.input = r
	c.startPush(0, r)
	frames := tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 30, FramePackets: 25, Audio: true, Seed: c.random.Uint64()})
	c.feed = newFeeder(t, w, 10*time.Millisecond, func(dst []byte) []byte {
		c.gate.Lock()
		defer c.gate.Unlock()
		return frames.Frame(dst)
	})
	return c
}

// startAfter starts what is at the far end of the hop that push begins: a vw-ingest, and the vw-push that reads it, or
// the test.
func (c *chain) startAfter(push part) {
	c.t.Helper()
	r, w := pipe(c.t)
	defer w.Close()
	ingest := push + 1
	args := []string{"--listen", "127.0.77.1:0"} // an address that no connection takes while it is free
	if c.addrs[ingest] != "" {
		args[1] = c.addrs[ingest]
	}
	l := c.start(ingest, wiring{stdout: w}, args)
	if c.addrs[ingest] == "" {
		c.addrs[ingest] = strings.TrimPrefix(strings.TrimSuffix(ingestURL(l.process), "/"), "http://")
	} else {
		ingestURL(l.process)
	}
	if ingest+1 < chainParts {
		c.startPush(ingest+1, r)
		r.Close()
		return
	}
	out := &collected{}
	c.output = append(c.output, out)
	c.reading.Go(func() {
		defer r.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			out.mu.Lock()
			out.b = append(out.b, buf[:n]...)
			out.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// startPush starts a vw-push whose server is there, and waits until it has a connection.
func (c *chain) startPush(p part, stdin io.Reader) {
	l := c.start(p, wiring{stdin: stdin}, []string{"--stream", fmt.Sprintf("hop%d", p.hop()), "--backoff-min", "1ms",
		"--backoff-max", "50ms", "--dead-after", testTimeout.String(), "ws://" + c.addrs[p+1] + "/in"})
	l.find(l.stderr, "msg=connected")
}

func (c *chain) start(p part, w wiring, args []string) *life {
	c.t.Helper()
	if c.live {
		args = append([]string{"--live"}, args...)
	} else {
		args = append([]string{"--buffer", itoa(chainBuffer)}, args...)
	}
	l := &life{part: p, file: filepath.Join(c.t.TempDir(), fmt.Sprintf("%s-%d.json", p.tool(), p.hop()))}
	l.process = start(c.t, w, p.tool(), append([]string{"--ledger", l.file}, args...)...)
	c.now[p] = l
	c.all = append(c.all, l)
	return l
}

// arrived is how much has come out at the far end.
func (c *chain) arrived() (n int) {
	for _, out := range c.output {
		out.mu.Lock()
		n += len(out.b)
		out.mu.Unlock()
	}
	return n
}

// flows waits until the stream has gone on for n bytes.
func (c *chain) flows(n int) {
	c.t.Helper()
	from := c.arrived()
	testwait.Eventually(c.t, "the stream goes on at the far end", func() bool { return c.arrived() >= from+n })
}

// kill kills a part with kill -9, and starts its pipeline again when the other tool in it has ended. With exact, all
// the others are stopped before, so that nothing moves any more and the victim's last ledger has all.
func (c *chain) kill(p part, exact bool) {
	c.t.Helper()
	victim := c.now[p]
	if exact {
		c.gate.Lock()
		c.signalOthers(p, syscall.SIGSTOP)
		var text []byte
		victim.ledger, text = settled(victim.process)
		victim.file = write(c.t, "killed.json", text) // what the process wrote itself is up to a minute old
	}
	victim.signal(os.Kill)
	victim.wait()
	victim.killed, victim.exact = true, exact
	if exact {
		c.signalOthers(p, syscall.SIGCONT)
		c.gate.Unlock()
	}
	c.kills[p]++
	switch {
	case p == 0:
		c.startPush(0, c.input)
	case p.isPush():
		c.end(p-1, 1) // its reader is gone
		c.startAfter(p - 2)
	default:
		if p+1 < chainParts {
			c.end(p+1, c.complete(p+1))
		}
		c.startAfter(p - 1)
	}
}

// complete is the exit status of a vw-push that could deliver all that its queue has kept.
func (c *chain) complete(p part) int {
	if c.live {
		return -1
	}
	return 0
}

// end waits for a process to end by itself. With live, either status will do that says that it came to its end.
func (c *chain) end(p part, status int) {
	c.t.Helper()
	l := c.now[p]
	if got := l.wait(); got != status && (status >= 0 || got != 0 && got != 3) {
		c.t.Fatalf("%s of hop %d: exit status %d, want %d; stderr:\n%s", l.name, p.hop(), got, status, l.stderr)
	}
	l.exact, l.ledger = true, l.account()
}

func (c *chain) signalOthers(p part, s os.Signal) {
	c.t.Helper()
	for other, l := range c.now {
		if part(other) != p {
			l.signal(s)
		}
	}
}

// settled returns a process's ledger when it has not changed for a while, also as the process wrote it.
func settled(l *process) (s stream.Snapshot, text []byte) {
	l.t.Helper()
	last, same := "", 0
	testwait.Eventually(l.t, "the ledger of a tool whose neighbours stand still does not change", func() bool {
		before := strings.Count(l.stderr.String(), `{"tool":`)
		l.signal(syscall.SIGUSR1)
		var line string
		testwait.Eventually(l.t, "a ledger on stderr", func() bool {
			parts := strings.Split(l.stderr.String(), `{"tool":`)
			line, _, _ = strings.Cut(parts[len(parts)-1], "\n")
			return len(parts)-1 > before && strings.HasSuffix(l.stderr.String(), "\n")
		})
		if same++; line != last {
			last, same = line, 0
		}
		return same >= 6 // at up to 20 ms from one to the next
	})
	text = []byte(`{"tool":` + last)
	if err := json.Unmarshal(text, &s); err != nil {
		l.t.Fatalf("%v: %s", err, text)
	}
	return s, text
}

// finish lets the chain end from its beginning, and returns what was fed in.
func (c *chain) finish() (source []byte) {
	c.t.Helper()
	source = c.feed.end()
	c.input.Close()
	for p := range chainParts {
		if !p.isPush() {
			c.now[p].signal(syscall.SIGTERM)
		}
		c.end(p, c.complete(p))
	}
	c.reading.Wait()
	return source
}
