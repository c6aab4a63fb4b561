package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// saw is what a client that is not vw's tells of one connection: node/ws-faults.mjs, python/ws-faults.py, or
// browser/ws-faults.html, which is told less than the others.
type saw struct {
	URL          string         `json:"url"`
	Opened       bool           `json:"opened"`
	Status       int            `json:"status"`
	Headers      map[string]any `json:"headers"`
	Error        string         `json:"error"`
	SocketError  string         `json:"socketError"`
	Code         int            `json:"code"`
	Reason       string         `json:"reason"`
	Clean        bool           `json:"clean"` // the browser only
	State        string         `json:"state"`
	Messages     int            `json:"messages"`
	Text         int            `json:"text"`
	Pings        int            `json:"pings"` // node only
	Pong         float64        `json:"pong"`  // ms from before the handshake; 0: none
	Unsent       int            `json:"unsent"`
	ReceivedCode int            `json:"receivedCode"` // node only
}

// healthy: the connection is open at the end. A browser does not tell of pongs.
func (s saw) healthy() bool { return s.Opened && s.State == "open" && s.Code == 0 && s.Error == "" }

// failed: the client failed the connection, for this reason.
func (s saw) failed(why string) bool {
	return s.Opened && s.Code == 1006 && strings.Contains(s.Error+s.SocketError, why)
}

// faultCase is a path, what goes wrong there, and what each client sees of it.
type faultCase struct {
	path, fault           string
	node, python, browser func(saw) bool
}

// A browser has one handshake at a time with a server: what never opens comes last.
var faultCases = []faultCase{
	{"none", "",
		func(s saw) bool { return s.healthy() && s.Pong > 0 },
		func(s saw) bool { return s.healthy() && s.Pong > 0 },
		saw.healthy},
	{"over", "", // a message that is too long
		func(s saw) bool { return s.Code == 1009 },
		func(s saw) bool { return s.Code == 1009 },
		func(s saw) bool { return s.Code == 1009 }},
	{"planned/over", "do=no-pong,after=1h",
		func(s saw) bool { return s.Code == 1009 },
		func(s saw) bool { return s.Code == 1009 },
		func(s saw) bool { return s.Code == 1009 }},
	{"say", "", // a text message
		func(s saw) bool { return s.Code == 1003 && s.Reason == "only binary messages are taken" },
		func(s saw) bool { return s.Code == 1003 },
		func(s saw) bool { return s.Code == 1003 && s.Clean }},
	{"planned/say", "do=no-pong,after=1h",
		func(s saw) bool { return s.Code == 1003 },
		func(s saw) bool { return s.Code == 1003 },
		func(s saw) bool { return s.Code == 1003 && s.Clean }},
	{"accept-then-close", "do=accept-then-close",
		func(s saw) bool { return s.Opened && s.Code == 1006 && s.SocketError == "" && s.State == "closed" },
		func(s saw) bool { return s.failed("0 bytes read") },
		func(s saw) bool { return s.Opened && s.Code == 1006 && s.Error == "" }},
	{"reset", "do=reset,after=1500",
		func(s saw) bool { return s.Opened && s.Code == 1006 && s.SocketError == "ECONNRESET" },
		func(s saw) bool { return s.failed("") },
		func(s saw) bool { return s.failed("") }},
	{"close", "do=close,code=1012,reason=restart,after=2messages",
		func(s saw) bool { return s.Code == 1012 && s.Reason == "restart" && s.State == "closed" },
		func(s saw) bool { return s.Code == 1012 && s.Reason == "restart" && s.State == "closed" },
		func(s saw) bool { return s.Code == 1012 && s.Reason == "restart" && s.Clean }},
	{"close-then-silent", "do=close-then-silent,code=1001,reason=bye",
		func(s saw) bool { return s.State == "closing" && s.ReceivedCode == 1001 && s.Code == 0 },
		func(s saw) bool { return s.State == "closing" && s.Code == 1001 && s.Reason == "bye" },
		// it gives up after 2 s
		func(s saw) bool { return s.Code == 1001 && s.Reason == "bye" || s.State == "closing" }},
	{"stall", "do=stall,for=3s",
		func(s saw) bool { return s.healthy() && s.Pong >= 3000 },
		func(s saw) bool { return s.healthy() && s.Pong >= 3000 },
		saw.healthy},
	{"slow", "do=slow,rate=2KiB",
		func(s saw) bool { return s.State == "open" && s.Unsent > 1<<20 },
		func(s saw) bool { return s.State == "open" && s.Unsent > 1<<20 },
		func(s saw) bool { return s.State == "open" && s.Unsent > 1<<20 }},
	{"no-pong", "do=no-pong",
		func(s saw) bool { return s.State == "open" && s.Pong == 0 },
		func(s saw) bool { return s.State == "open" && s.Pong == 0 },
		saw.healthy},
	{"late-pong", "do=late-pong,for=3s",
		func(s saw) bool { return s.healthy() && s.Pong >= 3000 },
		func(s saw) bool { return s.healthy() && s.Pong >= 3000 },
		saw.healthy},
	{"half-open", "do=half-open",
		func(s saw) bool { return s.State == "open" && s.Pong == 0 && s.SocketError == "" },
		func(s saw) bool { return s.State == "open" && s.Pong == 0 && s.SocketError == "" },
		saw.healthy},
	{"half-open-for", "do=half-open,for=300ms",
		func(s saw) bool { return s.Pong == 0 && s.SocketError == "ECONNRESET" && s.Code == 1006 },
		// The library cancels its reader when another part of it sees the reset first.
		func(s saw) bool {
			return s.Pong == 0 && (s.failed("ConnectionResetError") || s.failed("CancelledError"))
		},
		func(s saw) bool { return s.failed("") }},
	{"send-text", "do=send-text",
		func(s saw) bool { return s.healthy() && s.Text == 1 && s.Messages == 0 },
		func(s saw) bool { return s.healthy() && s.Text == 1 && s.Messages == 0 },
		func(s saw) bool { return s.healthy() && s.Text == 1 && s.Messages == 0 }},
	{"send-flood", "do=send-flood,for=200ms",
		func(s saw) bool { return s.healthy() && s.Messages > 20 },
		func(s saw) bool { return s.healthy() && s.Messages > 20 },
		func(s saw) bool { return s.healthy() && s.Messages > 20 }},
	{"ping-flood", "do=ping-flood,for=200ms",
		func(s saw) bool { return s.Opened && s.Pings > 20 }, // ws itself gives up in the end
		func(s saw) bool { return s.Opened },
		saw.healthy},
	{"big-ping", "do=big-ping",
		func(s saw) bool { return s.failed("invalid payload length 126") },
		func(s saw) bool { return s.failed("control frame too long") },
		func(s saw) bool { return s.failed("error") }},
	{"rsv", "do=bad-frame",
		func(s saw) bool { return s.failed("RSV1 must be clear") },
		func(s saw) bool { return s.failed("reserved bits must be 0") },
		func(s saw) bool { return s.failed("error") }},
	{"opcode", "do=bad-frame,kind=opcode",
		func(s saw) bool { return s.failed("invalid opcode 3") },
		func(s saw) bool { return s.failed("invalid opcode") },
		func(s saw) bool { return s.failed("error") }},
	{"masked", "do=bad-frame,kind=masked",
		func(s saw) bool { return s.failed("MASK must be clear") },
		func(s saw) bool { return s.failed("incorrect masking") },
		func(s saw) bool { return s.failed("error") }},
	{"continuation", "do=bad-frame,kind=continuation",
		func(s saw) bool { return s.failed("invalid opcode 0") },
		func(s saw) bool { return s.failed("unexpected opcode") },
		func(s saw) bool { return s.failed("error") }},
	{"truncate", "do=truncate,after=1messages",
		func(s saw) bool { return s.Opened && s.Code == 1006 && s.Messages == 0 && s.SocketError == "" },
		func(s saw) bool { return s.Messages == 0 && s.failed("498 bytes read on a total of 1000") },
		func(s saw) bool { return s.Messages == 0 && s.failed("") }},
	{"after-time", "do=close,after=2s",
		func(s saw) bool { return s.Code == 1001 && s.Pong > 0 },
		func(s saw) bool { return s.Code == 1001 && s.Pong > 0 },
		func(s saw) bool { return s.Code == 1001 && s.Clean }},
	{"in-sequence", "do=send-text,after=1messages",
		func(s saw) bool { return s.Text == 1 && s.Code == 4000 },
		func(s saw) bool { return s.Text == 1 && s.Code == 4000 },
		func(s saw) bool { return s.Text == 1 && s.Code == 4000 && s.Clean }},
	{"in-sequence", "do=close,code=4000,after=3messages", nil, nil, nil},
	{"refuse", "do=refuse,code=429,retry-after=1500ms",
		func(s saw) bool { return !s.Opened && s.Status == 429 && s.Headers["retry-after"] == "2" },
		func(s saw) bool { return !s.Opened && s.Status == 429 && s.Headers["retry-after"] == "2" },
		func(s saw) bool { return !s.Opened && s.Code == 1006 }},
	{"redirect", "do=redirect,code=307,to=ws://127.0.0.1:9/x",
		func(s saw) bool { return s.Status == 307 && s.Headers["location"] == "ws://127.0.0.1:9/x" },
		func(s saw) bool { return !s.Opened && strings.Contains(s.Error, "('127.0.0.1', 9)") }, // it follows
		func(s saw) bool { return !s.Opened && s.Code == 1006 }},
	{"bad-accept", "do=bad-accept",
		func(s saw) bool { return !s.Opened && s.Error == "Invalid Sec-WebSocket-Accept header" },
		func(s saw) bool { return !s.Opened && strings.Contains(s.Error, "invalid Sec-WebSocket-Accept header") },
		func(s saw) bool { return !s.Opened && s.Code == 1006 }},
	{"hang", "do=hang-handshake",
		func(s saw) bool { return !s.Opened && s.Status == 0 && s.Error == "Opening handshake has timed out" },
		func(s saw) bool { return !s.Opened && strings.HasPrefix(s.Error, "TimeoutError") },
		func(s saw) bool { return !s.Opened && s.State == "connecting" }},
}

// TestFaults: what clients that are not vw's see of each fault: npm's ws, Debian's python3-websockets, and Chromium.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]struct {
		look func(t *testing.T, urls []string) []byte // JSON values in the order of the URLs
		want func(faultCase) func(saw) bool
	}{
		"node":    {lookWithNode, func(c faultCase) func(saw) bool { return c.node }},
		"python":  {lookWithPython, func(c faultCase) func(saw) bool { return c.python }},
		"browser": {lookWithBrowser, func(c faultCase) func(saw) bool { return c.browser }},
	} {
		t.Run(name, func(t *testing.T) { testFaults(t, client.look, client.want) })
	}
}

func testFaults(t *testing.T, look func(*testing.T, []string) []byte, want func(faultCase) func(saw) bool) {
	args := []string{"--linger", "50ms", "--max-message", "1MiB"}
	for _, c := range faultCases {
		if c.fault != "" {
			args = append(args, "--fault", "path=/"+c.path+","+c.fault)
		}
	}
	s := serve(t, args...)
	var urls []string
	var wants []func(saw) bool
	for _, c := range faultCases {
		if w := want(c); w != nil {
			urls, wants = append(urls, s.url+"/"+c.path), append(wants, w)
		}
	}
	lines := json.NewDecoder(bytes.NewReader(look(t, urls)))
	for i, want := range wants {
		var got saw
		if err := lines.Decode(&got); err != nil || got.URL != urls[i] {
			t.Fatalf("%v: %+v instead of %s", err, got, urls[i])
		}
		if !want(got) {
			t.Errorf("the client saw %+v", got)
		}
	}
	s.signal(syscall.SIGTERM)
	s.expect(0)
	checkFired(t, s)
}

func lookWithNode(t *testing.T, urls []string) []byte {
	nodeModules(t)
	return lookWith(t, tool(t, "node"), "node/ws-faults.mjs", urls)
}

func lookWithPython(t *testing.T, urls []string) []byte {
	const python = "/usr/bin/python3" // Debian's, whose package it is, and not another one that is first on the PATH
	if err := exec.Command(python, "-c", "import websockets").Run(); err != nil {
		t.Skip("SKIPPED: python3-websockets is not installed (scripts/test installs it)")
	}
	return lookWith(t, python, "python/ws-faults.py", urls)
}

func lookWith(t *testing.T, program, script string, urls []string) []byte {
	cmd := exec.Command(program, append([]string{script, "8000"}, urls...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	return out
}

// lookWithBrowser has a browser open the page, which posts what it saw.
func lookWithBrowser(t *testing.T, urls []string) []byte {
	chromium := tool(t, "chromium")
	posted := make(chan []byte, 1)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			b, _ := io.ReadAll(r.Body)
			posted <- b
			return
		}
		http.ServeFile(w, r, "browser/ws-faults.html")
	}))
	defer page.Close()
	query := url.Values{"ms": {"2500"}, "url": urls}
	// Without its sandbox it runs as root too; it sees no page but this one.
	browser := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-extensions",
		"--user-data-dir="+t.TempDir(), page.URL+"/?"+query.Encode())
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	browser.Stdout, browser.Stderr = &said, &said
	browser.WaitDelay = time.Second
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) // with its helpers
		_ = browser.Wait()
	}()
	var all []json.RawMessage
	select {
	case b := <-posted:
		if err := json.Unmarshal(b, &all); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	case <-time.After(testTimeout):
		t.Fatalf("the page has posted nothing within %v\n%s", testTimeout, &said)
	}
	var lines []byte
	for _, one := range all {
		lines = append(append(lines, one...), '\n')
	}
	return lines
}

// checkFired checks what the report says of the faults.
func checkFired(t *testing.T, s *server) {
	t.Helper()
	var r struct {
		Refused     map[string]int `json:"refused"`
		Connections []struct {
			Path  string `json:"path"`
			Close struct {
				Code int `json:"code"`
			} `json:"close"`
		} `json:"connections"`
		Faults []struct {
			Fault      int    `json:"fault"`
			Do         string `json:"do"`
			Path       string `json:"path"`
			Connection int    `json:"connection"`
			Bytes      int64  `json:"bytes"`
			Messages   int64  `json:"messages"`
			At         string `json:"at"`
		} `json:"faults"`
	}
	out := bytes.TrimSpace([]byte(s.stdout.String()))
	if err := json.Unmarshal(out[bytes.LastIndexByte(out, '\n')+1:], &r); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.Refused) != "map[307:1 429:1]" {
		t.Errorf("refused: %v", r.Refused)
	}
	fired := map[string]int{}
	for _, f := range r.Faults {
		fired[f.Path+" "+f.Do]++
		if f.Path == "/reset" && (f.Bytes != 1500 || f.Messages != 1 || f.Connection == 0 || f.At == "") {
			t.Errorf("the reset after 1500 bytes: %+v", f)
		}
		if f.Path == "/close" && (f.Messages != 2 || f.Bytes != 2000) {
			t.Errorf("the close after 2 messages: %+v", f)
		}
	}
	for _, c := range r.Connections {
		want := map[string]int{"/over": 1009, "/planned/over": 1009, "/say": 1003, "/planned/say": 1003}[c.Path]
		if want != 0 && c.Close.Code != want {
			t.Errorf("%s was closed with %d, says the report, not %d", c.Path, c.Close.Code, want)
		}
	}
	for _, c := range faultCases {
		do, _, _ := strings.Cut(strings.TrimPrefix(c.fault, "do="), ",")
		want := 1
		if strings.HasPrefix(c.path, "planned/") {
			want = 0 // long after
		}
		if c.fault != "" && fired["/"+c.path+" "+do] != want {
			t.Errorf("%s %s is in the report %d times", c.path, do, fired["/"+c.path+" "+do])
		}
	}
}
