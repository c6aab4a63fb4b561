package ingest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout ends a test that has failed.
const testTimeout = time.Minute

// sink is an output that can be held up, and whose reader can go.
type sink struct {
	gone chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	data    []byte
	held    bool
	expired bool // the deadline has come
	waiting bool // a write is being held up
}

func newSink() *sink {
	s := &sink{gone: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *sink) Gone() <-chan struct{} { return s.gone }

func (s *sink) SetWriteDeadline(time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = true
	s.changed.Broadcast()
	return nil
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = true
	s.changed.Broadcast()
	for s.held && !s.expired {
		s.changed.Wait()
	}
	s.waiting = false
	select {
	case <-s.gone:
		return 0, syscall.EPIPE
	default:
	}
	if s.held {
		return 0, context.DeadlineExceeded
	}
	s.data = append(s.data, p...)
	s.changed.Broadcast()
	return len(p), nil
}

func (s *sink) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	s.changed.Broadcast()
}

// awaitHeld returns when a write waits.
func (s *sink) awaitHeld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.waiting {
		s.changed.Wait()
	}
}

func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data)
}

// await waits until n bytes have come.
func (s *sink) await(t *testing.T, n int) {
	t.Helper()
	testwait.Eventually(t, fmt.Sprintf("%d bytes come out", n), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.data) >= n
	})
}

// rig is a running server.
type rig struct {
	t      *testing.T
	server *Server
	out    *sink
	ledger *stream.Ledger
	log    *logBuffer
	addr   string
	soft   context.CancelCauseFunc
	hard   context.CancelCauseFunc
	done   chan struct{}
	err    error // of Run, once done
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tokens are what a server lets publishers in by.
func tokens(t *testing.T, text string) *access.Tokens {
	t.Helper()
	all, err := access.FixedTokens("the test", text, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// start runs a server with the options; what they leave out is filled in. change is made before it runs.
func start(t *testing.T, o Options, change ...func(*rig)) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, out: newSink(), ledger: stream.NewLedger("vw-ingest"), log: &logBuffer{},
		addr: ln.Addr().String(), done: make(chan struct{}),
	}
	if o.Pull == nil {
		o.Listeners = []net.Listener{ln}
	} else {
		ln.Close()
	}
	o.Output, o.Ledger = r.out, r.ledger
	log := slog.New(slog.NewTextHandler(r.log, nil))
	o.Log, o.Refusals = log, access.NewRefusalLog(log)
	if o.Buffer == 0 {
		o.Buffer = 1 << 20
	}
	if o.Linger == 0 {
		o.Linger = testTimeout
	}
	r.server = New(o)
	for _, f := range change {
		f(r)
	}
	soft, cancelSoft := context.WithCancelCause(context.Background())
	hard, cancelHard := context.WithCancelCause(context.Background())
	r.soft, r.hard = cancelSoft, cancelHard
	go func() {
		r.err = r.server.Run(soft, hard)
		close(r.done)
	}()
	t.Cleanup(func() {
		cancelHard(nil)
		r.await()
		c := r.counts()
		if !c.Balances() || c.Held != 0 || c.Unconfirmed != 0 {
			t.Errorf("the ledger does not balance: %+v", c)
		}
		if in := r.ledger.Snapshot(true).In.Bytes; in != c.In {
			t.Errorf("the ledger has in.bytes %d, and %d in its entry", in, c.In)
		}
		if t.Failed() {
			t.Log("log:\n" + r.log.String())
		}
	})
	return r
}

func (r *rig) counts() stream.Counts { return r.ledger.Snapshot(false).Out[0] }

// await waits for the end of Run and returns its error.
func (r *rig) await() error {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(testTimeout):
		r.t.Fatal("Run does not return\n" + r.log.String())
	}
	return r.err
}

// stop asks the server to end, and waits.
func (r *rig) stop() error {
	r.t.Helper()
	r.soft(nil)
	return r.await()
}

func (r *rig) url(path string) string { return "http://" + r.addr + path }

// eventually waits for a condition.
func (r *rig) eventually(what string, condition func() bool) {
	r.t.Helper()
	testwait.Eventually(r.t, what, condition)
}

func (r *rig) awaitPublisher() {
	r.t.Helper()
	r.eventually("somebody publishes", r.server.publishing)
}

func (r *rig) awaitNoPublisher() {
	r.t.Helper()
	r.eventually("nobody publishes", func() bool { return !r.server.publishing() })
}

// client is a raw connection.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (r *rig) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testTimeout))
	return &client{r.t, conn, bufio.NewReader(conn)}
}

// begin sends a request, header lines and all that follows, as it stands.
func (r *rig) begin(text string) *client {
	r.t.Helper()
	c := r.dial()
	c.send(text)
	return c
}

const chunkedPost = "POST /cam HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func chunk(data []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

const lastChunk = "0\r\n\r\n"

// answer reads a response.
func (c *client) answer() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	return resp
}

func (c *client) expect(status int) {
	c.t.Helper()
	if resp := c.answer(); resp.StatusCode != status {
		c.t.Fatalf("answered %s, not %d", resp.Status, status)
	}
}

// reset ends the connection as a host does that knows nothing of it.
func (c *client) reset() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// post publishes a body and returns the status.
func (r *rig) post(path string, body io.Reader) int {
	r.t.Helper()
	resp, err := oneShot.Post(r.url(path), "", body)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// oneShot keeps no connections.
var oneShot = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testTimeout}

// chunks hides a length.
func chunks(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

// ts is a transport stream of n frames.
func ts(n int, seed uint64) []byte {
	return tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 20, FramePackets: 4, Audio: true, Seed: seed}, n)
}

func (r *rig) expectOut(want []byte) {
	r.t.Helper()
	if got := r.out.bytes(); !bytes.Equal(got, want) {
		r.t.Errorf("%d bytes came out, not the %d expected", len(got), len(want))
	}
}

// expectLog waits until the log says something.
func (r *rig) expectLog(want string) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("the log says %q", want), func() bool { return strings.Contains(r.log.String(), want) })
}
