package viewer

import (
	"bufio"
	"context"
	"encoding/json"
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

	"github.com/timdrysdale/vw/internal/testwait"
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
		p, err := r.Peek(2)
		if err == nil {
			p, err = r.Peek(wsconn.HeaderSize(p))
		}
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
		h, _ := wsconn.ParseHeader(p)
		_, _ = r.Discard(len(p))
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatal(err)
		}
		if h.Opcode == wsconn.OpClose {
			return int(payload[0])<<8 | int(payload[1])
		}
	}
}

func TestNamesAndTheirHeaders(t *testing.T) {
	s := startServer(t, Options{Hosts: access.Hosts{"cam.example", "other.example:8443"}})
	for _, c := range []struct {
		path   string
		status int
		kind   string
		csp    string // ends with
	}{
		{"/", 200, "text/html", "frame-ancestors 'none'"},
		{"/embed", 200, "text/html", "frame-ancestors cam.example:* other.example:8443"},
		{"/stream.json", 200, "application/json", ""},
		{"/healthz", 503, "text/plain", ""},
		{"/metrics", 200, "text/plain", ""},
		{"/assets/page.css", 200, "text/css", ""},
		{"/assets/none.js", 404, "", ""},
		{"/cam1", 404, "", ""},
		{"/%2e%2e/page.go", 404, "", ""},
	} {
		resp, _ := s.get(c.path)
		h := resp.Header
		if resp.StatusCode != c.status || !strings.HasPrefix(h.Get("Content-Type"), c.kind) ||
			!strings.HasSuffix(h.Get("Content-Security-Policy"), c.csp) {
			t.Errorf("%s: %s, %v", c.path, resp.Status, h)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", c.path, h)
		}
	}
	s.frame()
	testwait.Eventually(t, "the stream flows", func() bool { return s.hub.status().Live })
	if resp, body := s.get("/healthz"); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, body)
	}
	var status Status
	if _, body := s.get("/stream.json"); json.Unmarshal([]byte(body), &status) != nil || status.Codecs.Video == "" ||
		status.Viewers != 0 {
		t.Errorf("%s", body)
	}
	if _, body := s.get("/metrics"); !strings.Contains(body, "\nvw_viewers 0\n") ||
		!strings.Contains(body, "\nvw_stream_live 1\n") {
		t.Errorf("%s", body)
	}
}

func TestHostsAndOrigins(t *testing.T) {
	s := startServer(t, Options{Hosts: access.Hosts{"cam.example"}})
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"127.0.0.1:8082", "", 101},
		{"localhost", "http://localhost", 101},
		{"cam.example", "https://cam.example", 101},
		{"127.0.0.1", "https://cam.example", 101},
		{"evil.example", "", 403},
		{"evil.example", "http://evil.example", 403},
		{"127.0.0.1", "http://evil.example", 403},
		{"127.0.0.1", "null", 403},
	} {
		fields := []string{"Host: " + c.host}
		if c.origin != "" {
			fields = append(fields, "Origin: "+c.origin)
		}
		resp, body := s.get("/cam", append(fields, handshake...)...)
		if resp.StatusCode != c.status {
			t.Errorf("%+v: %s", c, resp.Status)
		}
		for _, path := range []string{"/", "/embed", "/stream.json"} {
			if resp, _ := s.get(path, fields...); (resp.StatusCode == 403) != (c.status == 403) {
				t.Errorf("%s, %+v: %s", path, c, resp.Status)
			}
		}
		if c.host == "evil.example" && !strings.Contains(body, "proxy_set_header Host") {
			t.Errorf("no hint: %s", body)
		}
	}
	testwait.Eventually(t, "all have left", func() bool { return s.Viewers() == 0 })
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

func TestTokens(t *testing.T) {
	const secret = "Secret0123456789"
	path, tokens := tokenFile(t, "phone:"+secret+"\nother:anothersecret\n")
	s := startServer(t, Options{Tokens: tokens})
	for _, c := range []struct {
		path   string
		field  string
		status int // of a page
	}{
		{"/", "", 401},
		{"/stream.json", "", 401},
		{"/metrics", "", 401},
		{"/healthz", "", 503},
		{"/assets/page.css", "", 200},
		{"/wrong/", "", 401},
		{"/?token=wrong", "", 401},
		{"/", "Authorization: Bearer wrong", 401},
		{"/" + secret + "/", "", 200},
		{"/" + secret, "", 308},
		{"/" + secret + "/embed", "", 200},
		{"/" + secret + "/stream.json", "", 200},
		{"/" + secret + "/metrics", "", 200},
		{"/" + secret + "/healthz", "", 503},
		{"/" + secret + "/assets/page.css", "", 200},
		{"/?token=" + secret, "", 200},
		{"/stream.json", "Authorization: Bearer " + secret, 200},
		{"/?token=" + secret, "Host: evil.example", 200}, // the token is enough
	} {
		var fields []string
		if c.field != "" {
			fields = append(fields, c.field)
		}
		resp, body := s.get(c.path, fields...)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %s", c.path, c.field, resp.Status)
		}
		if strings.Contains(body, secret) {
			t.Errorf("%s %s: the answer shows the token", c.path, c.field)
		}
	}
	if resp, _ := s.get("/", append(handshake, "Sec-WebSocket-Protocol: token.wrong")...); resp.StatusCode != 401 {
		t.Errorf("with a wrong token: %s", resp.Status)
	}
	_, first, resp := s.watch("/", "Sec-WebSocket-Protocol: token."+secret)
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "token."+secret {
		t.Errorf("agreed to %q", got)
	}
	_, _, resp = s.watch("/"+secret+"/cam", "Sec-WebSocket-Protocol: token.x, null, y")
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "null" {
		t.Errorf("agreed to %q", got)
	}
	_, _, resp = s.watch("/"+secret, "Sec-WebSocket-Extensions: permessage-deflate")
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("agreed to the extension %q", got)
	}
	_, other, _ := s.watch("/cam?token=anothersecret")

	if err := os.WriteFile(path, []byte("other:anothersecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens.Reload()
	if code := closeCode(t, first); code != wsconn.StatusPolicyViolation {
		t.Errorf("closed with %d when its token had gone", code)
	}
	testwait.Eventually(t, "only the other is left", func() bool { return s.Viewers() == 1 })
	go s.End()
	if code := closeCode(t, other); code != wsconn.StatusGoingAway {
		t.Errorf("the other was closed with %d", code)
	}
	s.stop()
	if strings.Contains(s.log.String(), secret) || !strings.Contains(s.log.String(), "token phone") {
		t.Errorf("the log: %s", s.log)
	}
}

func TestLimits(t *testing.T) {
	s := startServer(t, Options{MaxViewers: 2})
	s.watch("/")
	s.watch("/")
	testwait.Eventually(t, "both have joined", func() bool { return s.Viewers() == 2 })
	if resp, _ := s.get("/", handshake...); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third one: %s", resp.Status)
	}
}

func TestHostileFrames(t *testing.T) {
	s := startServer(t, Options{})
	for _, c := range []struct {
		name  string
		frame string
		code  int
	}{
		{"not masked", "\x82\x00", wsconn.StatusProtocolError},
		{"reserved bit", "\xc2\x80\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"unknown opcode", "\x83\x80\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"unknown control opcode", "\x8b\x80\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"fragmented ping", "\x09\x80\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"long ping", "\x89\xfe\x00\x7e\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"continuation of nothing", "\x80\x80\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"message within a message", "\x02\x80\x00\x00\x00\x00\x82\x80\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"negative length", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", wsconn.StatusProtocolError},
		{"long message", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00", wsconn.StatusMessageTooBig},
		{"endless message", "\x82\xff\x3f\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00", wsconn.StatusPolicyViolation},
		{"flood", strings.Repeat("\x82\x80\x00\x00\x00\x00", 3000), wsconn.StatusPolicyViolation},
		{"close with half a code", "\x88\x81\x00\x00\x00\x00\x03", wsconn.StatusProtocolError},
		{"close with a bad code", "\x88\x82\x00\x00\x00\x00\x03\xed", wsconn.StatusProtocolError},
		{"close", "\x88\x82\x00\x00\x00\x00\x03\xe8", wsconn.StatusNormalClosure},
		{"close without a code", "\x88\x80\x00\x00\x00\x00", wsconn.StatusNormalClosure},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, r, _ := s.watch("/")
			s.frame()
			if _, err := io.WriteString(conn, c.frame); err != nil {
				t.Fatal(err)
			}
			if code := closeCode(t, r); code != c.code {
				t.Errorf("closed with %d", code)
			}
			_ = conn.Close()
		})
	}
	testwait.Eventually(t, "all have left", func() bool { return s.Viewers() == 0 })
}

func TestPingIsAnsweredWhileNothingFlows(t *testing.T) {
	s := startServer(t, Options{})
	conn, r, _ := s.watch("/")
	if _, err := io.WriteString(conn, "\x89\x82\x00\x00\x00\x00hi"); err != nil {
		t.Fatal(err)
	}
	pong := make([]byte, 4)
	if _, err := io.ReadFull(r, pong); err != nil || string(pong) != "\x8a\x02hi" {
		t.Errorf("%q, %v", pong, err)
	}
}

func TestEndIsBounded(t *testing.T) {
	s := startServer(t, Options{Linger: 50 * time.Millisecond})
	s.watch("/") // does not answer the close frame
	testwait.Eventually(t, "it has joined", func() bool { return s.Viewers() == 1 })
	s.stop()
}

// TestTenThousandComeAndGo: joining and leaving neither leaks nor disturbs who stays, and each is in the ledger.
func TestTenThousandComeAndGo(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	s := startServer(t, Options{})
	s.frame()
	var before []byte
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := wsconn.Dial(ctx, "ws://"+s.addr+"/", wsconn.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	got := make(chan []byte)
	go func() {
		for {
			_, r, err := conn.NextMessage(ctx)
			if err != nil {
				got <- before
				return
			}
			b, _ := io.ReadAll(r)
			before = append(before, b...)
		}
	}()
	testwait.Eventually(t, "the first viewer has joined", func() bool { return s.Viewers() == 1 })
	work := make(chan int)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := range work {
				come(t, s.addr, i)
			}
		})
	}
	for i := range n {
		work <- i
		if i%10 == 0 {
			s.frame()
		}
	}
	close(work)
	running.Wait()
	testwait.Eventually(t, "all others have left", func() bool { return s.Viewers() == 1 })
	if c := s.hub.counts(); c.Connects != int64(n)+1 || !c.Balances() {
		t.Errorf("the ledger: %+v", c)
	}
	sent := s.source.in
	s.stop()
	if b := <-got; int64(len(b)) != sent {
		t.Errorf("who stayed got %d bytes of %d", len(b), sent)
	}
}

// come connects as a viewer, and leaves again in one of several ways.
func come(t *testing.T, addr string, i int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /cam HTTP/1.1\r\nHost: "+addr+"\r\n"+strings.Join(handshake, "\r\n")+"\r\n\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 101 ") {
		t.Errorf("%q, %v", line, err)
		return
	}
	switch i % 3 {
	case 0: // it leaves at once
	case 1:
		_, _ = r.Discard(500)
	case 2:
		_, _ = io.WriteString(conn, "\x88\x82\x00\x00\x00\x00\x03\xe8")
		_, _ = io.Copy(io.Discard, r)
	}
}

// TestFloodOfConnections: those who connect and say nothing, or not all of it, keep no viewer out.
func TestFloodOfConnections(t *testing.T) {
	s := startServer(t, Options{})
	for i := range 3 * maxConnections {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x")
		}
	}
	for range 20 {
		s.watch("/")
	}
	testwait.Eventually(t, "all viewers are in", func() bool { return s.Viewers() == 20 })
}

// TestGoneBeforeTheAnswer: a client that is gone when its handshake is answered leaves nothing.
func TestGoneBeforeTheAnswer(t *testing.T) {
	s := startServer(t, Options{})
	for range 100 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /cam HTTP/1.1\r\nHost: "+s.addr+"\r\n"+strings.Join(handshake, "\r\n")+
			"\r\n\r\n")
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	testwait.Eventually(t, "nobody is left", func() bool { return s.Viewers() == 0 })
}
