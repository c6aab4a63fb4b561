package testserver

import (
	"bytes"
	"errors"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// refusals returns which of n handshakes are refused.
func refusals(t *testing.T, seed uint64, n int, path string, faults ...Fault) (refused string) {
	t.Helper()
	s := start(t, Options{Faults: faults, Seed: seed})
	for range n {
		c, err := wsconn.Dial(testContext(t), s.URL()+path, wsconn.DialOptions{})
		var answer *wsconn.StatusError
		switch {
		case err == nil:
			refused += "."
			c.CloseNow()
		case errors.As(err, &answer) && answer.Code == http.StatusServiceUnavailable:
			refused += "x"
		default:
			t.Fatal(err)
		}
	}
	s.Close()
	if r := wait(t, s, ErrClosed); r.Refused[503] != len(r.Faults) {
		t.Errorf("%d refused, %d faults", r.Refused[503], len(r.Faults))
	}
	return refused
}

func TestWhichHandshakes(t *testing.T) {
	for want, f := range map[string]Fault{
		"xxxxx": {Do: Refuse{}},
		".x...": {Do: Refuse{}, First: 2, Last: 2},
		"..xxx": {Do: Refuse{}, First: 3, Last: 9},
		".....": {Do: Refuse{}, Path: "/other*"},
		"x....": {Do: Refuse{}, Path: "/ca?1", First: 1, Last: 1},
	} {
		if got := refusals(t, 1, 5, "/cam1", f); got != want {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
	if got := refusals(t, 1, 5, "/cam1", Fault{Do: Refuse{}, Path: "/other"}, Fault{Do: Refuse{}, First: 9, Last: 9},
		Fault{Do: Refuse{}, Probability: 1e-9},
		Fault{Do: Refuse{}, First: 3, Last: 3}); got != "..x.." {
		t.Errorf("after faults for other handshakes: %s", got)
	}
	if got := refusals(t, 1, 5, "/cam1", Fault{Do: Refuse{}, First: 1, Last: 1},
		Fault{Do: Refuse{}, First: 4, Last: 4}); got != "x..x." {
		t.Errorf("two faults: %s", got)
	}
}

// TestSeed: with the same seed the same handshakes are affected.
func TestSeed(t *testing.T) {
	half := Fault{Do: Refuse{}, Probability: 0.5}
	first := refusals(t, 7, 40, "/", half)
	if again := refusals(t, 7, 40, "/", half); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	if other := refusals(t, 8, 40, "/", half); other == first {
		t.Errorf("two seeds, one result: %s", other)
	}
	n := 0
	for _, c := range first {
		if c == 'x' {
			n++
		}
	}
	if n < 8 || n > 32 {
		t.Errorf("%d of 40 with a probability of a half", n)
	}
}

// TestCheckFault: a server starts with every fault at the ends of its ranges, and refuses what is beyond them.
func TestCheckFault(t *testing.T) {
	for _, f := range []Fault{
		{Do: Refuse{Status: 300}}, {Do: Refuse{Status: 599}}, {Do: Redirect{Status: 300}}, {Do: Redirect{Status: 399}},
		{Do: CloseFrame{Code: 65535, Reason: strings.Repeat("x", 123)}}, {Do: BigPing{Size: 126}},
		{Do: BigPing{Size: 1 << 20}},
		{Do: Reset{}, Probability: 1}, {Do: Reset{}, AfterTime: 1, First: 1, Last: math.MaxInt},
		{Do: BadFrame{Kind: ReservedBit}},
	} {
		s, err := New(Options{Faults: []Fault{f}})
		if err != nil {
			t.Errorf("%#v: %v", f, err)
			continue
		}
		s.Close()
	}
	for _, f := range []Fault{
		{}, {Do: fakeFault{}}, {Do: Refuse{}, AfterBytes: 1}, {Do: Reset{}, AfterBytes: 1, AfterTime: 1},
		{Do: Reset{}, First: 3, Last: 2}, {Do: Reset{}, Path: "["}, {Do: Reset{}, AfterBytes: -1},
		{Do: Reset{}, AfterMessages: -1},
		{Do: Reset{}, AfterTime: -1}, {Do: Reset{}, Probability: 1.1}, {Do: Reset{}, Probability: -0.1},
		{Do: Reset{}, Probability: math.NaN()}, {Do: Refuse{Status: 200}}, {Do: Refuse{Status: 600}},
		{Do: Refuse{RetryAfter: -1}}, {Do: Redirect{To: "x\r\ny"}}, {Do: Redirect{Status: 400}},
		{Do: HangHandshake{For: -1}},
		{Do: CloseFrame{Code: -1}}, {Do: CloseFrame{Code: 65536}}, {Do: CloseFrame{Reason: strings.Repeat("x", 124)}},
		{Do: CloseThenSilent{Code: 65536}}, {Do: CloseThenSilent{For: -1}}, {Do: Stall{For: -1}}, {Do: Slow{}},
		{Do: Slow{Rate: -1}},
		{Do: LatePong{By: -1}}, {Do: HalfOpen{For: -1}}, {Do: SendFlood{For: -1}}, {Do: PingFlood{For: -1}},
		{Do: BigPing{Size: 125}}, {Do: BigPing{Size: 1<<20 + 1}}, {Do: BadFrame{Kind: "x"}},
	} {
		if s, err := New(Options{Faults: []Fault{f}}); err == nil {
			s.Close()
			t.Errorf("%#v is accepted", f)
		}
	}
}

// fakeFault is not a fault of this package.
type fakeFault struct{}

func (fakeFault) Name() string { return "fake" }

// TestResetAfterBytes: exactly so many bytes are received, wherever messages end, also over TLS.
func TestResetAfterBytes(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := start(t, Options{TLS: tls, Conns: 1, Faults: []Fault{{Do: Reset{}, AfterBytes: 1000}}})
		c := dial(t, s.URL(), wsconn.DialOptions{TLS: s.ClientTLS()})
		for c.Write(testContext(t), make([]byte, 300)) == nil {
		}
		r := wait(t, s, nil)
		if got := r.Connections[0]; got.Bytes != 1000 || got.Messages != 3 || got.Torn != 100 ||
			got.Close.Code != 1006 ||
			got.SHA256 != sum(make([]byte, 1000)) {
			t.Errorf("%+v", got)
		}
		if f := r.Faults; len(f) != 1 || f[0].Bytes != 1000 || f[0].Messages != 3 || f[0].Connection != 1 ||
			f[0].At.IsZero() {
			t.Errorf("%+v", f)
		}
	}
}

// TestCloseWithinFrame: the peer answers the server's close frame after the frame during which it was sent, also after
// a control frame in a message.
func TestCloseWithinFrame(t *testing.T) {
	rest := bytes.Repeat([]byte{0xFF}, 900) // no frame header
	for name, send := range map[string][][]byte{
		"a frame":   {join(frameHeader(1000), rest[:100]), rest},
		"fragments": {frame(ws.OpBinary, false, rest[:100]), frame(ws.OpPing, true, nil), frame(0, true, rest)},
	} {
		s := start(t, Options{Conns: 1, Faults: []Fault{{Do: CloseFrame{Code: 1012}, AfterBytes: 100}}})
		conn := raw(t, s.URL())
		conn.Write(send[0])
		if got := closeCode(t, conn); got != 1012 {
			t.Errorf("%s: the peer got close code %d", name, got)
		}
		conn.Write(join(send[1:]...))
		conn.Write(closeWith(4000, "bye"))
		if got := one(t, s); got.Close != (Close{4000, "bye"}) || got.Bytes != 100 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestFaultyStream: a fault that does not end the connection changes no byte of what is received.
func TestFaultyStream(t *testing.T) {
	stream := sample(t, "mpeg1.ts")
	for _, f := range []Fault{{Do: SendText{}, AfterMessages: 2}, {Do: LatePong{By: time.Millisecond}},
		{Do: Stall{For: 10 * time.Millisecond}, AfterBytes: 1000}, {Do: Slow{Rate: 4 << 20}}} {
		t.Run(f.Do.Name(), func(t *testing.T) {
			s := start(t, Options{Conns: 1, Faults: []Fault{f}, Expectations: []Expectation{ExpectClean(""),
				ExpectMessages("", Exactly(3))}})
			publish(t, s.URL(), stream[:1000], stream[1000:200_000], stream[200_000:])
			if r := wait(t, s, nil); !r.Passed || r.Connections[0].SHA256 != sum(stream) || len(r.Faults) != 1 ||
				r.Connections[0].Close.Code != 1000 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestStallOfFinishedPeer: what a peer sends that finishes during a stall is read after the stall. A reset ends the
// stall, and what came before it counts too.
func TestStallOfFinishedPeer(t *testing.T) {
	const stall = 300 * time.Millisecond
	sent := join(frameHeader(1), []byte("x"), frameHeader(10_000), make([]byte, 10_000))
	for name, c := range map[string]struct {
		finish func(*net.TCPConn)
		code   int
		least  time.Duration
	}{
		"close frame and half closed": {func(c *net.TCPConn) { c.Write(closeWith(1000, "")); c.CloseWrite() }, 1000,
			stall},
		"half closed": {func(c *net.TCPConn) { c.CloseWrite() }, 1006, stall},
		"closed":      {func(c *net.TCPConn) { c.Close() }, 1006, stall},
		"reset":       {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, 1006, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Conns: 1, Faults: []Fault{{Do: Stall{For: stall}, AfterMessages: 1}}})
			conn := raw(t, s.URL())
			conn.Write(sent)
			testwait.Eventually(t, "the first byte", func() bool { return s.bytes.Load() > 0 })
			c.finish(conn)
			got := one(t, s)
			if got.Bytes != 10_001 || got.Messages != 2 || got.Close.Code != c.code ||
				got.Ended.Sub(got.Started) < c.least {
				t.Errorf("after %v: %+v", got.Ended.Sub(got.Started), got)
			}
		})
	}
}

// TestFaultDuringStall: faults that are due by time happen during a stall, whether it has an end or not.
func TestFaultDuringStall(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour} {
		s := start(t, Options{Conns: 1, Faults: []Fault{{Do: Stall{For: d}},
			{Do: SendText{}, AfterTime: 20 * time.Millisecond}, {Do: Reset{}, AfterTime: 40 * time.Millisecond}}})
		dial(t, s.URL(), wsconn.DialOptions{})
		r := wait(t, s, nil)
		var done []string
		for _, f := range r.Faults {
			done = append(done, f.Do)
		}
		if c := r.Connections[0]; !slices.Equal(done, []string{"stall", "send-text", "reset"}) ||
			c.Close.Code != 1006 ||
			c.Ended.Sub(c.Started) < 40*time.Millisecond {
			t.Errorf("for %v: %v, %+v", d, done, c)
		}
	}
}

// TestSlowEarnsNoCredit: after a quiet time a slow reader is as slow as before.
func TestSlowEarnsNoCredit(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		paidUntil, want time.Time
	}{
		"quiet for an hour": {now.Add(-time.Hour), now.Add(2*time.Second - slowTick)},
		"a timer was late":  {now.Add(-time.Millisecond), now.Add(2*time.Second - time.Millisecond)},
		"under way":         {now.Add(time.Second), now.Add(3 * time.Second)},
	} {
		r := &faultyConn{rate: 8 << 10, paidUntil: c.paidUntil}
		if r.debit(16<<10, now); !r.paidUntil.Equal(c.want) {
			t.Errorf("%s: the next read is in %v, not in %v", name, r.paidUntil.Sub(now), c.want.Sub(now))
		}
	}
}

// TestNoFloodAfterCloseNow: CloseNow waits for a flood that starts at the same time, or it does not start.
func TestNoFloodAfterCloseNow(t *testing.T) {
	ping := frameOf(wsconn.OpPing, nil)
	for range 100 {
		conn, peer := net.Pipe()
		c := newFaultyConn(conn, nil, 0, nil)
		c.startFlood(time.Hour, ping)
		var starting sync.WaitGroup
		starting.Go(func() { c.startFlood(time.Hour, ping) })
		c.CloseNow()
		starting.Wait()
		peer.Close()
	}
	conn, peer := net.Pipe()
	defer peer.Close()
	c := newFaultyConn(conn, nil, 0, nil)
	c.CloseNow()
	c.conn = &countedWrites{Conn: conn}
	c.startFlood(time.Hour, ping)
	c.flood.Wait()
	if n := c.conn.(*countedWrites).n; n > 0 {
		t.Errorf("%d writes after CloseNow", n)
	}
}

type countedWrites struct {
	net.Conn
	n int
}

func (c *countedWrites) Write(p []byte) (int, error) {
	c.n++
	return c.Conn.Write(p)
}

// TestEndDuringFaults: a fault that waits does not keep the server from ending.
func TestEndDuringFaults(t *testing.T) {
	for _, do := range []FaultKind{HangHandshake{}, BadAccept{}, Stall{}, HalfOpen{}, CloseThenSilent{}, SendFlood{},
		NoPong{}} {
		t.Run(do.Name(), func(t *testing.T) {
			t.Parallel()
			fired := make(chan struct{})
			s := start(t, Options{Faults: []Fault{{Do: do}}, Linger: time.Millisecond})
			go func() {
				defer close(fired)
				c, err := wsconn.Dial(testContext(t), s.URL(), wsconn.DialOptions{Timeout: 100 * time.Millisecond})
				if err == nil {
					t.Cleanup(c.CloseNow)
				}
			}()
			<-fired
			begin := time.Now()
			s.Close()
			if d := time.Since(begin); d > deadline/2 {
				t.Errorf("the end took %v", d)
			}
		})
	}
}
