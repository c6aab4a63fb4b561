package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

func options(urls ...string) (Options, *logs) {
	l := new(logs)
	return Options{
		URLs: urls, DeadAfter: 10 * time.Second, BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond,
		Linger: 10 * time.Second, MaxMessage: 256 << 10, Buffer: 1 << 20, Ledger: stream.NewLedger("test"), Log: l,
	}, l
}

// run pushes to the end and checks the ledger.
func run(t *testing.T, o Options, in io.Reader) (stream.Snapshot, error) {
	t.Helper()
	ctx := soon(t)
	return runUntil(t, context.Background(), ctx, o, in)
}

func runUntil(t *testing.T, soft, hard context.Context, o Options, in io.Reader) (stream.Snapshot, error) {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Run(soft, hard, in)
	s := o.Ledger.Snapshot(true)
	for _, c := range s.Out {
		if !c.Balances() || c.Held != 0 || c.Unconfirmed != 0 || c.In != s.In.Bytes {
			t.Errorf("the ledger at the end: %+v", c)
		}
	}
	return s, err
}

// numbered is a blob of n bytes in which each eight say where they stand.
func numbered(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = binary.BigEndian.AppendUint64(b, uint64(i)<<20|0xABCDE)
	}
	return b[:n]
}

func TestDelivers(t *testing.T) {
	a, b := newServer(t), newServer(t)
	blob := numbered(5 << 20)
	o, _ := options(a.url(), b.url())
	s, err := run(t, o, bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	for i, srv := range []*server{a, b} {
		if code := srv.closedWith(0); code != wsconn.StatusNormalClosure {
			t.Errorf("server %d: closed with %d", i, code)
		}
		if got := srv.all(); len(got) != 1 || !bytes.Equal(got[0], blob) {
			t.Errorf("server %d did not get the blob", i)
		}
		if c := s.Out[i]; c.Confirmed != int64(len(blob)) || c.Written != c.Confirmed ||
			c.Messages != int64(len(srv.connections[0].sizes)) {
			t.Errorf("%+v", c)
		}
	}
}

func TestMessageSizes(t *testing.T) {
	for size, want := range map[int][]int{4096: {4096}, 4097: {4096, 1}} {
		srv := newServer(t)
		o, _ := options(srv.url())
		o.MaxMessage = 4096
		if _, err := run(t, o, bytes.NewReader(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
		srv.closedWith(0)
		got := srv.connections[0].sizes
		if len(got) != len(want) || got[0] != want[0] {
			t.Errorf("%d bytes came as messages of %v, want %v", size, got, want)
		}
	}
}

// TestResends: whatever happens to connections, each byte arrives, in order; repeats only where a connection begins.
func TestResends(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	srv := newServer(t)
	const connections = 40
	limits := make([]int, connections)
	for i := range limits {
		limits[i] = random.IntN(300_000)
	}
	srv.handle = func(c *connection) {
		if c.n >= connections {
			c.read(-1)
			return
		}
		c.read(limits[c.n])
		switch c.n % 3 {
		case 0:
			c.reset()
		case 1:
			_ = c.conn.Close(srv.over, wsconn.StatusGoingAway, "restart")
		case 2:
			c.tcp.Close()
		}
	}
	blob := numbered(8 << 20)
	o, _ := options(srv.url())
	s, err := run(t, o, bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	srv.closedWith(0)
	covered := 0
	for i, got := range srv.all() {
		if len(got) == 0 {
			continue
		}
		start := int(binary.BigEndian.Uint64(got)>>20) * 8
		if len(got) >= 8 && (start > covered || start+len(got) > len(blob) ||
			!bytes.Equal(got, blob[start:start+len(got)])) {
			t.Fatalf("connection %d begins at %d with %d bytes; %d were covered", i, start, len(got), covered)
		}
		covered = max(covered, start+len(got))
	}
	if covered != len(blob) {
		t.Errorf("%d of %d bytes arrived", covered, len(blob))
	}
	if c := s.Out[0]; c.Confirmed != int64(len(blob)) || c.Connects <= connections || c.Resent == 0 ||
		c.Written-c.Resent != c.Confirmed {
		t.Errorf("%+v", c)
	}
}

func TestDeadLink(t *testing.T) {
	srv := newServer(t)
	srv.handle = func(c *connection) {
		if c.n == 0 {
			<-srv.over.Done() // it reads nothing and answers nothing
			return
		}
		c.read(-1)
	}
	blob := numbered(8 << 20) // more than the buffer
	o, l := options(srv.url())
	o.DeadAfter = time.Second // less, and a busy machine is dead
	s, err := run(t, o, bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	if got := srv.all()[1]; !bytes.Equal(got, blob) {
		t.Errorf("%d bytes on the second connection", len(got))
	}
	if s.Out[0].Connects != 2 || l.count("connection lost") != 1 {
		t.Errorf("%+v, %q", s.Out[0], l.lines)
	}
}

// TestIdleLinkIsKept: nothing to send is not death.
func TestIdleLinkIsKept(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	o, l := options(srv.url())
	o.DeadAfter = time.Second // less, and a busy machine is dead
	r, w := io.Pipe()
	go func() {
		<-srv.arrived
		time.Sleep(2 * o.DeadAfter) // the time that must pass
		_, _ = w.Write([]byte("late"))
		w.Close()
	}()
	if _, err := run(t, o, r); err != nil {
		t.Fatal(err)
	}
	if l.count("connection lost") != 0 {
		t.Errorf("%q", l.lines)
	}
}

// TestSlowLinkIsKept: a link that moves is not dead, though no pong comes for longer than DeadAfter.
func TestSlowLinkIsKept(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	srv.handle = func(c *connection) {
		if tcp, ok := c.tcp.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(16 << 10)
		}
		piece := make([]byte, 16<<10)
		for {
			_, r, err := c.conn.NextMessage(srv.over)
			for err == nil {
				var n int
				n, err = io.ReadFull(r, piece)
				c.bytes = append(c.bytes, piece[:n]...)
				time.Sleep(100 * time.Millisecond) // 160 kB/s: 1.6 s for 256 KiB, and for the ping after them
			}
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				return
			}
		}
	}
	o, l := options(srv.url())
	o.DeadAfter = time.Second
	blob := numbered(512 << 10) // a message of 256 KiB among it
	if _, err := run(t, o, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	if got := srv.all(); len(got) != 1 || !bytes.Equal(got[0], blob) || l.count("connection lost") != 0 {
		t.Errorf("%d connections, %q", len(got), l.lines)
	}
}

func TestRefused(t *testing.T) {
	srv := newServer(t)
	dials := 0
	srv.check = func(*http.Request) int {
		dials++
		if dials > 3 {
			return 0
		}
		return []int{http.StatusUnauthorized, http.StatusServiceUnavailable, http.StatusNotFound}[dials-1]
	}
	o, l := options(srv.url())
	if _, err := run(t, o, bytes.NewReader([]byte("patience"))); err != nil {
		t.Fatal(err)
	}
	if got := srv.all(); len(got) != 1 || string(got[0]) != "patience" {
		t.Errorf("%q", got)
	}
	if l.count("no connection") != 3 {
		t.Errorf("%q", l.lines)
	}
}

func TestGivesUp(t *testing.T) {
	srv := newServer(t)
	srv.check = func(*http.Request) int { return http.StatusForbidden }
	o, _ := options(srv.url())
	o.GiveUpAfter, o.Format = 50*time.Millisecond, stream.Raw
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte("in vain")) }()
	begun := time.Now()
	go func() { // the input has no end of its own, and cannot be cut short
		<-soon(t).Done()
		w.Close()
	}()
	_, err := run(t, o, &stoppable{r})
	if !errors.Is(err, ErrGaveUp) {
		t.Errorf("%v", err)
	}
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("after %v", d)
	}
}

// TestGivesUpWithoutAPong: a destination that takes connections but confirms nothing is given up too: one that breaks
// each of them, and one that answers no ping. The second is reported before.
func TestGivesUpWithoutAPong(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]bool{"breaks": true, "wrong pongs": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			srv.handle = func(c *connection) {
				c.conn.DelayPongs(func() {}) // and nothing is ever delivered
				if breaks {
					_, _, _ = c.conn.NextMessage(srv.over)
					return
				}
				alive := time.NewTicker(20 * time.Millisecond)
				defer alive.Stop()
				srv.running.Go(func() {
					for {
						_, r, err := c.conn.NextMessage(srv.over)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, r)
					}
				})
				for {
					select {
					case <-alive.C:
						c.conn.KeepAlive()
					case <-c.conn.Done():
						return
					}
				}
			}
			o, l := options(srv.url())
			o.DeadAfter, o.GiveUpAfter = time.Second, 3*time.Second
			if breaks {
				o.GiveUpAfter = 200 * time.Millisecond
			}
			s, err := run(t, o, bytes.NewReader(numbered(10_000)))
			if !errors.Is(err, ErrGaveUp) || errors.Is(err, errUnconfirmed) == breaks {
				t.Errorf("%v", err)
			}
			if n := l.count("the server confirms nothing"); !breaks && n == 0 || s.Out[0].Dropped.Sum() != 10_000 {
				t.Errorf("logged %d times; %+v", n, s.Out[0])
			}
		})
	}
}

// stoppable is a pipe whose reads can be cut short, as a tool's standard input.
type stoppable struct{ *io.PipeReader }

func (s *stoppable) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		return s.CloseWithError(errors.New("stopped"))
	}
	return nil
}

func TestPauseBeforeADial(t *testing.T) {
	const shortest, longest = time.Second, time.Minute
	refused := func(code int, retryAfter time.Duration) error {
		return fmt.Errorf("dial: %w", &wsconn.StatusError{Code: code, RetryAfter: retryAfter})
	}
	for name, c := range map[string]struct {
		err       error
		low, high time.Duration
	}{
		"a first error":         {io.EOF, shortest, 2 * shortest},
		"permanent":             {refused(401, 0), longest / 2, longest},
		"the server asks":       {refused(503, 2*time.Minute), 2*time.Minute + shortest, 2*time.Minute + 2*shortest},
		"the server asks less":  {refused(503, time.Millisecond), shortest, 2 * shortest},
		"the server is absurd":  {refused(503, 1000*time.Hour), maxRetryAfter, maxRetryAfter * 5 / 4},
		"permanent, and absurd": {refused(404, 1000*time.Hour), maxRetryAfter, maxRetryAfter * 5 / 4},
	} {
		if d := nextDial(backoff.New(shortest, longest), c.err); d < c.low || d > c.high {
			t.Errorf("%s: %v, want %v to %v", name, d, c.low, c.high)
		}
	}
	seen := make(map[time.Duration]bool)
	for range 10 {
		seen[nextDial(backoff.New(shortest, longest), refused(503, time.Minute))] = true
	}
	if len(seen) < 5 {
		t.Errorf("ten that were refused together come back after %v", seen)
	}
}

// TestHintAboutTheClock: a certificate that is not valid at this time may be a sign of a wrong clock, not of a wrong
// authority.
func TestHintAboutTheClock(t *testing.T) {
	for reason, want := range map[x509.InvalidReason]string{x509.Expired: "clock", x509.NameMismatch: "--ca"} {
		err := fmt.Errorf("dial: %w", &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{
			Cert: &x509.Certificate{}, Reason: reason}})
		if got := Hint(err); !strings.Contains(got, want) {
			t.Errorf("%v: %q", reason, got)
		}
	}
}

// TestToken: the token is read again at each dial.
func TestToken(t *testing.T) {
	srv := newServer(t)
	srv.check = func(r *http.Request) int {
		if r.Header.Get("Authorization") != "Bearer new" || r.Header.Get("X-Camera") != "1" {
			return http.StatusUnauthorized
		}
		return 0
	}
	o, _ := options(srv.url())
	o.Header = http.Header{"X-Camera": {"1"}}
	reads := 0
	o.Credentials.Token = func() (string, error) {
		if reads++; reads > 3 {
			return "new", nil
		}
		return "old", nil
	}
	if _, err := run(t, o, bytes.NewReader([]byte("x"))); err != nil {
		t.Fatal(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
