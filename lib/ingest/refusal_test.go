package ingest

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	t.Parallel()
	const token = "päss/wörd,x"
	const inPath = "p%C3%A4ss%2Fw%C3%B6rd,x"
	for _, c := range []struct {
		name, path, header string
		user, password     string
		ok                 bool
	}{
		{name: "bearer", header: "Bearer " + token, ok: true},
		{name: "bearer in other letters", header: "bEARER " + token, ok: true},
		{name: "basic", user: "anybody", password: token, ok: true},
		{name: "basic without a user", password: token, ok: true},
		{name: "path", path: "/" + inPath, ok: true},
		{name: "path and more", path: "/" + inPath + "/cam/1?x=y", ok: true},
		{name: "path behind two slashes", path: "//" + inPath + "/", ok: true},
		{name: "wrong header, right path", header: "Bearer no", path: "/" + inPath, ok: true},
		{name: "none"},
		{name: "empty bearer", header: "Bearer "},
		{name: "no scheme", header: token},
		{name: "another scheme", header: "Digest " + token},
		{name: "basic not encoded", header: "Basic " + token},
		{name: "longer", header: "Bearer " + token + "x"},
		{name: "shorter", header: "Bearer " + token[:len(token)-1]},
		{name: "as user", user: token, password: "x"},
		{name: "second element", path: "/cam/" + inPath},
		{name: "in the query", path: "/?token=" + inPath},
		{name: "not decoded once more", path: "/" + strings.ReplaceAll(inPath, "%", "%25")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{Tokens: tokens(t, token)})
			path := c.path
			if path == "" {
				path = "/"
			}
			req, err := http.NewRequest(http.MethodPost, r.url(path), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			if c.header != "" {
				req.Header.Set("Authorization", c.header)
			}
			if c.password != "" {
				req.SetBasicAuth(c.user, c.password)
			}
			resp, err := oneShot.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want, out := http.StatusUnauthorized, ""
			if c.ok {
				want, out = http.StatusNoContent, "body"
			}
			if resp.StatusCode != want {
				t.Errorf("answered %s", resp.Status)
			}
			if !c.ok && resp.Header.Get("WWW-Authenticate") != `Basic realm="vw-ingest"` {
				t.Errorf("headers %v", resp.Header)
			}
			r.expectOut([]byte(out))
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if strings.Contains(r.log.String(), token) || strings.Contains(r.log.String(), "p%C3") {
				t.Error("the token is in the log")
			}
		})
	}
}

// A refused publisher gets a whole response at once, none of its body is read, and its connection is reset.
func TestRefusals(t *testing.T) {
	t.Parallel()
	body := string(make([]byte, 1<<20))
	for _, c := range []struct {
		name, header string
		status       int
		want         string // a header line of the answer
		busy         bool
	}{
		{name: "no token", header: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", status: 401,
			want: "Www-Authenticate"},
		{name: "GET", header: "GET /s HTTP/1.1\r\nHost: x\r\n\r\n", status: 405, want: "Allow"},
		{name: "method before token", header: "DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n",
			status: 405, want: "Allow"},
		{name: "OPTIONS *", header: "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", status: 405, want: "Allow"},
		{name: "no length", header: "POST /s HTTP/1.1\r\nHost: x\r\n\r\n", status: 411},
		{name: "HTTP/1.0 has no chunks", header: "POST /s HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", status: 400},
		{name: "too large", header: "POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", status: 413},
		{name: "busy", header: "POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", status: 409,
			busy: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{Tokens: tokens(t, "s"), MaxBody: 1 << 20})
			if c.busy {
				r.begin("POST /s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
				r.awaitPublisher()
			}
			conn := r.begin(c.header)
			sent := make(chan error, 1)
			go func() {
				for range 64 {
					if _, err := io.WriteString(conn, body); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			began := time.Now()
			resp := conn.answer()
			text, err := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || err != nil || len(text) == 0 || !resp.Close {
				t.Errorf("answered %s, %q, %v, close %v", resp.Status, text, err, resp.Close)
			}
			if c.want != "" && resp.Header.Get(c.want) == "" {
				t.Errorf("no %s in %v", c.want, resp.Header)
			}
			if err := <-sent; err == nil {
				t.Error("64 MiB were taken from a refused publisher")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("cut only after %v", took)
			}
			r.hard(nil)
			r.await()
			r.expectOut(nil)
			if c := r.counts(); c.In != 0 {
				t.Errorf("%d bytes were read", c.In)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Tokens: tokens(t, "s"), MaxBody: 100})
	ask := func(path, length string) *client {
		return r.begin("POST " + path + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + length + "\r\n\r\n")
	}
	ask("/", "Content-Length: 5").expect(401)
	ask("/s", "Content-Length: 101").expect(413)
	for _, length := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		c := ask("/s", length)
		c.expect(100)
		ask("/s", length).expect(409)
		if strings.HasPrefix(length, "T") {
			c.send(chunk([]byte("hello")) + lastChunk)
		} else {
			c.send("hello")
		}
		c.expect(204)
	}
	ask("/s", "Content-Length: 0").expect(204)
	r.begin("POST /s HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 5\r\n\r\n").expect(417)
	r.expectOut([]byte("hellohello"))
}

// Without a token, what a browser sends for a page is taken only if the page comes from the same host, and that is one
// to which no other host's name can lead.
func TestPagesOfOtherHosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, host, origin string
		o                  Options
		foreign            bool
	}{
		{name: "no page"},
		{name: "no page, by name", host: "cam.example:81"},
		{name: "the same", origin: "http://LOCALHOST:81"},
		{name: "the same by its address", host: "[::1]:81", origin: "http://[::1]:81"},
		{name: "a name that leads here", host: "evil.example:81", origin: "http://evil.example:81", foreign: true},
		{name: "another", origin: "https://evil.example", foreign: true},
		{name: "another port", origin: "http://localhost:82", foreign: true},
		{name: "unnamed", origin: "null", foreign: true},
		{name: "empty", origin: " ", foreign: true},
		{name: "nonsense", origin: "http://localhost:81:%", foreign: true},
		{name: "another with a token", origin: "https://evil.example", o: Options{Tokens: tokens(t, "s")}},
		{name: "another when all may", origin: "https://evil.example", o: Options{AllowCrossOrigin: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, c.o)
			header := "HTTP/1.1\r\nHost: " + cmp.Or(c.host, "localhost:81") + "\r\n"
			if c.origin != "" {
				header += "Origin: " + c.origin + "\r\n"
			}
			for request, want := range map[string]int{
				"POST /s " + header + "Content-Length: 1\r\n\r\nx": http.StatusNoContent,
				"GET /s " + header + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n": http.StatusSwitchingProtocols,
			} {
				if c.foreign {
					want = http.StatusForbidden
				}
				conn := r.begin(request)
				if resp := conn.answer(); resp.StatusCode != want {
					t.Errorf("answered %s to %q", resp.Status, request)
				}
				conn.reset()
				r.awaitNoPublisher()
			}
			out := "x"
			if c.foreign {
				out = ""
			}
			r.expectOut([]byte(out))
			r.hard(nil)
			_ = r.await()
		})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Tokens: tokens(t, "cam1:s")})
	if status := r.post("/wrong", strings.NewReader("x")); status != 401 {
		t.Error(status)
	}
	if resp := r.begin("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").answer(); resp.StatusCode != 401 {
		t.Errorf("without a token: %s", resp.Status)
	}
	publisher := r.begin("POST /s/cam HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(ts(20, 1)))
	r.out.await(t, 188)
	r.eventually("the metrics show the publisher", func() bool {
		resp := r.begin("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s\r\n\r\n").answer()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 ||
			!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Fatalf("%s, %v, %v", resp.Status, resp.Header, err)
		}
		for _, line := range []string{
			`vw_publisher{publisher="cam1"} 1`, `vw_publishers_total 1`, `vw_refused_total{status="401"} 2`,
			`vw_connections{state="publishing"} 1`, `vw_output_dropped_bytes_total{to="stdout",reason="torn"} 0`,
			fmt.Sprintf("vw_in_packets_total %d", len(ts(20, 1))/188), `vw_frames_total 20`, `vw_keyframes_total 4`,
			fmt.Sprintf(`vw_output_delivered_packets_total{to="stdout"} %d`, len(ts(20, 1))/188),
			`vw_output_dropped_packets_total{to="stdout",reason="full"} 0`,
		} {
			if !strings.Contains(string(text), "\n"+line+"\n") {
				return false
			}
		}
		return true
	})
	publisher.send(lastChunk)
	publisher.expect(204)
}
