package viewer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/fdio"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/viewer/page"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// testServer is a server at work on a stream that its test puts in.
type testServer struct {
	*Server
	t      *testing.T
	addr   string
	source *source
	frames *tsgen.Generator
	log    *recordingLog
	kill   context.CancelFunc
	err    chan error
}

// recordingLog keeps what is logged.
type recordingLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *recordingLog) add(msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(&l.text, append([]any{msg}, args...)...)
}

func (l *recordingLog) Info(msg string, args ...any)  { l.add(msg, args...) }
func (l *recordingLog) Warn(msg string, args ...any)  { l.add(msg, args...) }
func (l *recordingLog) Error(msg string, args ...any) { l.add(msg, args...) }

func (l *recordingLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startServer(t *testing.T, o Options) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &recordingLog{}
	o.Listener, o.Log, o.Page, o.Ledger = fdio.Listener{Listener: ln}, log, page.Embedded(), stream.NewLedger("test")
	o.Buffer, o.MaxAge = 1<<20, 2*time.Second
	if o.DeadAfter == 0 {
		o.DeadAfter = 15 * time.Second
	}
	if o.Linger == 0 {
		o.Linger = 10 * time.Second
	}
	s := &testServer{Server: New(o), t: t, addr: ln.Addr().String(), log: log, err: make(chan error, 1)}
	s.source = newSource(s.hub)
	s.frames = tsgen.New(tsgen.Options{GOP: 10, KeyPackets: 5, FramePackets: 2})
	ctx, kill := context.WithCancel(context.Background())
	s.kill = kill
	go func() { s.err <- s.Run(ctx) }()
	t.Cleanup(s.stop)
	return s
}

// stop ends the stream, and checks what is left.
func (s *testServer) stop() {
	s.End()
	if err := <-s.err; err != nil {
		s.t.Error(err)
	}
	s.kill()
	s.source.reader.Close()
	c := s.hub.counts()
	if !c.Balances() || c.Held != 0 || c.Unconfirmed != 0 || c.Viewers.Connected != 0 {
		s.t.Errorf("the ledger at the end: %+v", c)
	}
	s.err <- nil // for a second call
}

func (s *testServer) frame() { s.source.put(s.t, s.frames.Frame(nil)) }

// get asks for a path, with header fields "Name: value".
func (s *testServer) get(path string, fields ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest("GET", "http://"+s.addr+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Add(name, value)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

var handshake = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// watch makes a viewer, and returns its connection once it has joined.
func (s *testServer) watch(path string, fields ...string) (net.Conn, *bufio.Reader, *http.Response) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	request := "GET " + path + " HTTP/1.1\r\nHost: " + s.addr + "\r\n" + strings.Join(append(fields, handshake...),
		"\r\n") + "\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("%s: %s", path, resp.Status)
	}
	return conn, r, resp
}

// closeCode reads up to the close frame and returns its code.
func closeCode(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	for {
		h, err := wsconn.ReadHeader(r)
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatal(err)
		}
		if h.Opcode == wsconn.OpClose {
			return int(payload[0])<<8 | int(payload[1])
		}
	}
}

func tokenFile(t *testing.T, text string) (string, *access.Tokens) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.OpenTokens(path, discardLog{})
	if err != nil {
		t.Fatal(err)
	}
	return path, tokens
}
