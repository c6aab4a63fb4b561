package viewer

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/wsconn"
)

func TestNamesAndTheirHeaders(t *testing.T) {
	t.Parallel()
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
		cached := "no-store"
		if c.path == "/assets/page.css" {
			cached = "no-cache" // kept, and asked for each time
		}
		if h.Get("Cache-Control") != cached || h.Get("Referrer-Policy") != "no-referrer" {
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
	t.Parallel()
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

func TestTokens(t *testing.T) {
	t.Parallel()
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

// TestPageKnowsTheStream: the page says what the stream is to those who may watch it.
func TestPageKnowsTheStream(t *testing.T) {
	t.Parallel()
	const secret = "Secret0123456789"
	_, tokens := tokenFile(t, secret+"\n")
	s := startServer(t, Options{Tokens: tokens})
	const stream = ` data-stream="{&#34;live&#34;:`
	if _, body := s.get("/"+secret+"/", "Accept: text/html"); !strings.Contains(body, stream) {
		t.Errorf("the page does not say what the stream is: %.200s", body)
	}
	if _, body := s.get("/", "Accept: text/html"); !strings.Contains(body, "<html ") || strings.Contains(body, stream) {
		t.Errorf("the page without a token: %.200s", body)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{MaxViewers: 2})
	s.watch("/")
	s.watch("/")
	testwait.Eventually(t, "both have joined", func() bool { return s.Viewers() == 2 })
	if resp, _ := s.get("/", handshake...); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third one: %s", resp.Status)
	}
}

func TestHostileFrames(t *testing.T) {
	t.Parallel()
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
		{"message that overflows", "\x02\x81\x00\x00\x00\x00x\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
			wsconn.StatusPolicyViolation},
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
	t.Parallel()
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
	t.Parallel()
	s := startServer(t, Options{Linger: 50 * time.Millisecond})
	s.watch("/") // does not answer the close frame
	testwait.Eventually(t, "it has joined", func() bool { return s.Viewers() == 1 })
	s.stop()
}
