//go:build linux

package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// fault is a way for a connection to end.
type fault int

const (
	reset  fault = iota // RST
	hangUp              // FIN, with no close frame
	goAway              // a close frame with 1001, and the close handshake
	silent              // a close frame with 1001, then nothing, with the connection open
	die                 // the server is killed, and started again
	faults
)

func (f fault) String() string {
	return [faults]string{"reset", "end without close frame", "1001", "1001 and silence", "server killed"}[f]
}

// farm is servers that come and go at the far end of one link.
type farm struct {
	t       testing.TB
	link    *link
	sink    *sink
	servers []*server // one after the other
	addr    string    // theirs
	random  *rand.Rand
	longest int64 // that a connection may carry before its fault, in bytes
	mu      sync.Mutex
	calm    atomic.Bool // no more faults for new connections
	counts  [faults]int
}

func newFarm(t testing.TB, seed uint64, longest int64) *farm {
	f := &farm{t: t, random: rand.New(rand.NewPCG(seed, 4)), longest: longest, sink: newSink(t, listen(t), nil)}
	f.addr = freeAddress(t) // which nobody takes while a server is away
	f.servers = []*server{serve(t, "--timeout", "1h", "--listen", f.addr)}
	f.link = newLink(t, listenAt(t, "127.0.0.1", smallBuffer), f.plan)
	return f
}

// plan draws a connection's fate.
func (f *farm) plan(int) plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind := []fault{reset, reset, reset, hangUp, hangUp, goAway, goAway, goAway, die, die, silent}[f.random.IntN(11)]
	p := plan{to: f.addr, after: 1 + f.random.Int64N(f.longest), fault: kind}
	switch {
	case f.calm.Load():
		p.after = 0
	case kind == goAway || kind == silent:
		p.to = f.sink.addr
		p.after += handshake
	case kind == die:
		p.halt = true
		p.after += handshake
	default:
		p.halt = true
		if f.random.IntN(10) == 0 {
			p.after = 1 + f.random.Int64N(2*handshake)
		}
	}
	return p
}

// handshake is more than a client's handshake has, in bytes.
const handshake = 1000

// strike does to a connection that is due what its plan has.
func (f *farm) strike(c *carried) {
	f.counts[c.plan.fault]++
	switch c.plan.fault {
	case reset:
		f.link.reset(c)
	case hangUp:
		c.cut(-1)
	case goAway, silent:
		from := f.link.sourceOf(c)
		var at *sunk
		testwait.Eventually(f.t, "the server's connection", func() bool {
			i := slices.IndexFunc(f.sink.connections(), func(s *sunk) bool { return s.remote == from })
			if i >= 0 {
				at = f.sink.connections()[i]
			}
			return i >= 0
		})
		if c.plan.fault == goAway {
			at.goAway()
		} else {
			at.fallSilent()
		}
	case die:
		f.restart(f.link.sourceOf(c), c)
	}
}

// restart kills the server and starts it again on the same port. The link carries nothing for the connection any more.
// The server saves in another goroutine than the one that answers, so it is left to come to the connection's end before
// it is killed: what it has confirmed is then in the file, and that the file is short would not be vw-push's doing.
func (f *farm) restart(from string, c *carried) {
	s, before := f.servers[len(f.servers)-1], f.servers[:len(f.servers)-1]
	f.link.endServer(c)
	closed := regexp.MustCompile(`"event":"closed",.*"remote":"` + regexp.QuoteMeta(from) + `"`)
	ended, dead := false, false
	testwait.Eventually(f.t, "the end of a connection", func() bool {
		ended = closed.MatchString(s.stdout.String())
		// for another connection
		dead = slices.ContainsFunc(before, func(s *server) bool { return savedAs(s, from) != "" })
		return ended || dead
	})
	if ended {
		s.signal(os.Kill)
		s.wait()
	}
	c.cut(-1) // what the server's kernel does
	if ended {
		f.servers = append(f.servers, serve(f.t, "--timeout", "1h", "--listen", f.addr))
	}
}

// savedAs returns the file in which a server saves the connection from an address, "" if it has not got one.
func savedAs(s *server, from string) string {
	line := regexp.MustCompile(`"event":"connected","id":(\d+),.*"remote":"` + regexp.QuoteMeta(from) + `"`)
	m := line.FindStringSubmatch(s.stdout.String())
	if m == nil {
		return ""
	}
	id, _ := strconv.Atoi(m[1])
	files, _ := filepath.Glob(filepath.Join(s.save, fmt.Sprintf("%03d*", id)))
	if len(files) != 1 {
		return ""
	}
	return files[0]
}

// pieces returns what each connection brought, in order.
func (f *farm) pieces() [][]byte {
	f.t.Helper()
	var all [][]byte
	for _, c := range f.link.connections() {
		from, b := f.link.sourceOf(c), []byte(nil)
		if from == "" {
			continue // there was no server
		}
		for _, s := range f.sink.connections() {
			if s.remote == from {
				b, _ = s.received()
			}
		}
		for _, s := range f.servers {
			if name := savedAs(s, from); name != "" {
				b = read(f.t, name)
			}
		}
		all = append(all, b)
	}
	return all
}

// close ends the server in order, so that all is saved.
func (f *farm) close() {
	s := f.servers[len(f.servers)-1]
	s.signal(os.Interrupt)
	s.wait()
}

// TestKilledConnections kills connection after connection at random bytes, in all ways. Without --live nothing may be
// missing; with it, each connection must be whole groups of pictures that decode.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	kills := setting(t, "VW_TEST_KILLS", 60) / 2
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		for _, live := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, live %v", name, live), func(t *testing.T) {
				t.Parallel()
				source := longSample(t, name, 20+2*kills)
				if live && name == "h264.ts" {
					source = withoutTables(source) // vw-push puts in its own
				}
				killConnections(t, source, live, kills)
			})
		}
	}
}

func killConnections(t *testing.T, source []byte, live bool, kills int) {
	f := newFarm(t, seed(t), 150_000)
	r, w := pipe(t)
	args := []string{"--backoff-min", "1ms", "--backoff-max", "20ms", "--dead-after", "5s", "--buffer", "300kB",
		"--log", "json"}
	if live {
		args = append(args, "--live")
	}
	push := start(t, wiring{stdin: r}, "vw-push", append(args, f.link.url)...)
	r.Close()
	feed := newFeeder(t, w, 10*time.Millisecond, portions(source, 12_001))
	begun := time.Now()
	for n := 0; n < kills; n++ {
		select {
		case c := <-f.link.due:
			f.strike(c)
		case <-push.done:
			t.Fatalf("vw-push ended; %d kills", n)
		case <-time.After(testTimeout):
			t.Fatalf("nothing went on after %d kills", n)
		}
	}
	f.calm.Store(true)
	t.Logf("%d kills in %v: %v", kills, time.Since(begun).Round(time.Millisecond), f.summary())
	sent := make(chan []byte, 1)
	go func() {
		time.Sleep(200 * time.Millisecond) // of stream, at ten times its pace
		sent <- feed.end()
	}()
	for over := false; !over; {
		select {
		case c := <-f.link.due:
			f.strike(c)
		case <-push.done:
			over = true
		case <-time.After(testTimeout):
			t.Fatal("vw-push does not end")
		}
	}
	f.close()
	checkKilled(t, push, f.pieces(), <-sent, live)
}

func (f *farm) summary() string {
	var s []string
	for kind, n := range f.counts {
		s = append(s, fmt.Sprintf("%s: %d", fault(kind), n))
	}
	return strings.Join(s, ", ")
}
