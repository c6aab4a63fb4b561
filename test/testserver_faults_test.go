package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// saw is what test/node/ws-faults.mjs tells of one connection.
type saw struct {
	URL          string         `json:"url"`
	Opened       bool           `json:"opened"`
	Status       int            `json:"status"`
	Headers      map[string]any `json:"headers"`
	Error        string         `json:"error"`
	SocketError  string         `json:"socketError"`
	Code         int            `json:"code"`
	Reason       string         `json:"reason"`
	State        string         `json:"state"`
	Messages     int            `json:"messages"`
	Text         int            `json:"text"`
	Pings        int            `json:"pings"`
	Pong         float64        `json:"pong"` // ms; 0: none
	Unsent       int            `json:"unsent"`
	ReceivedCode int            `json:"receivedCode"`
}

// TestFaults: what a client that is not vw's sees of each fault.
func TestFaults(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	healthy := func(s saw) bool { return s.Opened && s.State == "open" && s.Pong > 0 && s.Error == "" }
	wrongFrame := func(text string) func(saw) bool {
		return func(s saw) bool { return s.Opened && s.Code == 1006 && strings.Contains(s.Error, text) }
	}
	cases := []struct {
		path, fault string
		want        func(saw) bool
	}{
		{"none", "", func(s saw) bool { return healthy(s) && s.Pong < 250 }},
		{"refuse", "do=refuse,code=429,retry-after=1500ms", func(s saw) bool { return !s.Opened && s.Status == 429 && s.Headers["retry-after"] == "2" }},
		{"hang", "do=hang-handshake", func(s saw) bool { return !s.Opened && s.Status == 0 && s.Error == "Opening handshake has timed out" }},
		{"redirect", "do=redirect,code=307,to=ws://127.0.0.1:9/x", func(s saw) bool { return s.Status == 307 && s.Headers["location"] == "ws://127.0.0.1:9/x" }},
		{"bad-accept", "do=bad-accept", func(s saw) bool { return !s.Opened && s.Error == "Invalid Sec-WebSocket-Accept header" }},
		{"accept-then-close", "do=accept-then-close", func(s saw) bool { return s.Opened && s.Code == 1006 && s.SocketError == "" && s.State == "closed" }},
		{"reset", "do=reset,after=1500", func(s saw) bool { return s.Opened && s.Code == 1006 && s.SocketError == "ECONNRESET" }},
		{"close", "do=close,code=1012,reason=restart,after=2messages", func(s saw) bool { return s.Code == 1012 && s.Reason == "restart" && s.State == "closed" }},
		{"close-then-silent", "do=close-then-silent,code=1001,reason=bye", func(s saw) bool { return s.State == "closing" && s.ReceivedCode == 1001 && s.Code == 0 }},
		{"stall", "do=stall,for=900ms", func(s saw) bool { return healthy(s) && s.Pong >= 350 }},
		{"slow", "do=slow,rate=2KiB", func(s saw) bool { return s.State == "open" && s.Unsent > 1<<20 }},
		{"no-pong", "do=no-pong", func(s saw) bool { return s.State == "open" && s.Pong == 0 }},
		{"late-pong", "do=late-pong,for=400ms", func(s saw) bool { return healthy(s) && s.Pong >= 350 }},
		{"half-open", "do=half-open", func(s saw) bool { return s.State == "open" && s.Pong == 0 && s.SocketError == "" }},
		{"half-open-for", "do=half-open,for=300ms", func(s saw) bool { return s.Pong == 0 && s.SocketError == "ECONNRESET" && s.Code == 1006 }},
		{"send-text", "do=send-text", func(s saw) bool { return healthy(s) && s.Text == 1 && s.Messages == 0 }},
		{"send-flood", "do=send-flood,for=200ms", func(s saw) bool { return healthy(s) && s.Messages > 20 }},
		{"ping-flood", "do=ping-flood,for=200ms", func(s saw) bool { return s.Opened && s.Pings > 20 }}, // ws itself gives up in the end
		{"big-ping", "do=big-ping", wrongFrame("invalid payload length 126")},
		{"rsv", "do=bad-frame", wrongFrame("RSV1 must be clear")},
		{"opcode", "do=bad-frame,kind=opcode", wrongFrame("invalid opcode 3")},
		{"masked", "do=bad-frame,kind=masked", wrongFrame("MASK must be clear")},
		{"continuation", "do=bad-frame,kind=continuation", wrongFrame("invalid opcode 0")},
		{"truncate", "do=truncate,after=1messages", func(s saw) bool { return s.Opened && s.Code == 1006 && s.Messages == 0 && s.SocketError == "" }},
		{"after-time", "do=close,after=300ms", func(s saw) bool { return s.Code == 1001 && s.Pong > 0 }},
		{"in-sequence", "do=send-text,after=1messages", func(s saw) bool { return s.Text == 1 && s.Code == 4000 }},
		{"in-sequence", "do=close,code=4000,after=3messages", nil},
	}
	args := []string{"--quiet", "--linger", "50ms"}
	urls := []string{}
	for _, c := range cases {
		if c.fault != "" {
			args = append(args, "--fault", "path=/"+c.path+","+c.fault)
		}
	}
	s := serve(t, args...)
	var want []func(saw) bool
	for _, c := range cases {
		if c.want != nil {
			urls = append(urls, s.url+"/"+c.path)
			want = append(want, c.want)
		}
	}
	node := exec.Command(tool(t, "node"), append([]string{"node/ws-faults.mjs", "1500"}, urls...)...)
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) != len(urls) {
		t.Fatalf("%d lines for %d URLs", len(lines), len(urls))
	}
	for i, line := range lines {
		var got saw
		if err := json.Unmarshal(line, &got); err != nil || got.URL != urls[i] {
			t.Fatalf("%v: %s", err, line)
		}
		if !want[i](got) {
			t.Errorf("the client saw %s", line)
		}
	}
	s.signal(syscall.SIGTERM)
	s.expect(0)
	var r struct {
		Refused map[string]int `json:"refused"`
		Faults  []struct {
			Fault      int    `json:"fault"`
			Do         string `json:"do"`
			Path       string `json:"path"`
			Connection int    `json:"connection"`
			Bytes      int64  `json:"bytes"`
			Messages   int64  `json:"messages"`
			At         string `json:"at"`
		} `json:"faults"`
	}
	out = bytes.TrimSpace([]byte(s.stdout.String()))
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
	for _, c := range cases {
		do, _, _ := strings.Cut(strings.TrimPrefix(c.fault, "do="), ",")
		if c.fault != "" && fired["/"+c.path+" "+do] != 1 {
			t.Errorf("%s %s is in the report %d times", c.path, do, fired["/"+c.path+" "+do])
		}
	}
}
