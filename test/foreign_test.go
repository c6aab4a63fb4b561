package test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestNodeServer: a websocket server that is not ours (npm ws) gets the stream whole.
func TestNodeServer(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	for name, b := range map[string][]byte{"raw": blob(2_000_003, 20), "ts": read(t, sample("mpeg1.ts"))} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			s := start(t, wiring{}, "node", "node/ws-server.mjs", "--conns", "1", out)
			port := s.find(s.stdout, `"event":"listening","port":(\d+)`)
			p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", "ws://127.0.0.1:"+port+"/in")
			p.expect(0)
			p.all(int64(len(b)))
			if code := s.find(s.stdout, `"event":"closed".*"code":(\d+)`); code != "1000" {
				t.Errorf("closed with %s", code)
			}
			s.expect(0)
			same(t, "what arrived", read(t, out), b)
		})
	}
}

// nodeModules skips the test if npm's packages are not there.
func nodeModules(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("node/node_modules/ws"); err != nil {
		t.Skip("SKIPPED: npm's packages are not installed (scripts/test installs them)")
	}
}

// TestNodePublisher: a websocket publisher that is not ours (npm ws) is taken by vw-ingest.
func TestNodePublisher(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := start(t, wiring{stdout: out}, "vw-ingest", "--listen", "127.0.0.1:0", "--once")
	url := "ws" + ingestURL(p)[len("http"):]
	start(t, wiring{}, "node", "node/ws-publisher.mjs", url, sample("h264.ts")).expect(0)
	p.expect(0)
	b := read(t, sample("h264.ts"))
	p.all(int64(len(b)))
	same(t, "what was written", read(t, out.Name()), b)
}

// TestPushToIngest: vw-ingest on the far side takes what vw-push carries, with a token.
func TestPushToIngest(t *testing.T) {
	t.Parallel()
	token := write(t, "token", []byte("a-secret-token\n"))
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	far := start(t, wiring{stdout: out}, "vw-ingest", "--listen", "127.0.0.1:0", "--token-file", token, "--once")
	b := read(t, sample("mpeg1.ts"))
	url := "ws" + ingestURL(far)[len("http"):] + "in/cam1"
	near := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", "--token-file", token, url)
	near.expect(0)
	near.all(int64(len(b)))
	far.expect(0)
	far.all(int64(len(b)))
	same(t, "what was written", read(t, out.Name()), b)
}

// TestPrivateCA: wss to a server whose certificate a private authority has signed.
func TestPrivateCA(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	s := serve(t, "--conns", "1", "--tls", "--tls-ca", ca)
	b := read(t, sample("mpeg1.ts"))
	refused := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", "--give-up-after", "100ms", s.url)
	refused.expect(1)
	refused.find(refused.stderr, `certificate`)
	refused.find(refused.stderr, `--ca`)
	p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", "--ca", ca, s.url)
	p.expect(0)
	p.all(int64(len(b)))
	s.expect(0)
	same(t, "what arrived", s.saved(1), b)
}

// TestPageOfAnotherHost: a page in a browser reaches loopback, but publishes only where everybody may.
func TestPageOfAnotherHost(t *testing.T) {
	t.Parallel()
	tool(t, "chromium")
	var tools []*process
	var urls []string
	for _, flags := range [][]string{nil, {"--no-auth"}} {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, wiring{stdout: null}, "vw-ingest", append(flags, "--listen", "127.0.0.1:0")...)
		null.Close()
		tools = append(tools, p)
		urls = append(urls, "ws"+ingestURL(p)[len("http"):]+"cam")
	}
	pages := json.NewDecoder(bytes.NewReader(lookWithBrowser(t, urls)))
	for i, want := range []bool{false, true} {
		var got saw
		if err := pages.Decode(&got); err != nil || got.URL != urls[i] || got.Opened != want {
			t.Errorf("%v: the page saw %+v", err, got)
		}
	}
	tools[0].find(tools[0].stderr, "msg=refused .*addr=\\S+ reason=origin")
	for i, want := range []int64{0, 3000} {
		tools[i].signal(syscall.SIGTERM)
		tools[i].expect(0)
		if s := tools[i].account(); s.In.Bytes != want {
			t.Errorf("%d bytes came in, not %d", s.In.Bytes, want)
		}
	}
}
