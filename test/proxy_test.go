package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site is a network whose only way out is a proxy:
//
//	camera 10.81.1.1 ── 10.81.1.2 proxy 10.81.2.2 ── 10.81.2.1 relay
//
// The proxy's machine forwards no packets, and the camera's has no route to the relay.
type site struct{ camera, proxy, relay *namespace }

func newSite(t *testing.T) site {
	t.Helper()
	ns := newNamespaces(t, 3)
	s := site{ns[0], ns[1], ns[2]}
	join(s.camera, s.proxy, "inside", "10.81.1.1/24", "10.81.1.2/24")
	join(s.proxy, s.relay, "outside", "10.81.2.2/24", "10.81.2.1/24")
	return s
}

// proxyKinds start each kind of proxy, and return its URL without userinfo.
var proxyKinds = map[string]func(t *testing.T, s site, user, password string) string{
	"tinyproxy": func(t *testing.T, s site, user, password string) string {
		config := "Listen 10.81.1.2\nPort 3128\nTimeout 60\nMaxClients 20\n"
		if user != "" {
			config += fmt.Sprintf("BasicAuth %s %s\n", user, password)
		}
		s.proxy.start(wiring{}, nil, "tinyproxy", "-d", "-c", write(t, "tinyproxy.conf", []byte(config)))
		return "http://10.81.1.2:3128"
	},
	"microsocks": func(t *testing.T, s site, user, password string) string {
		args := []string{"-i", "10.81.1.2", "-p", "1080"}
		if user != "" {
			args = append(args, "-u", user, "-P", password)
		}
		s.proxy.start(wiring{}, nil, "microsocks", args...)
		return "socks5h://10.81.1.2:1080"
	},
}

// environment has the proxy for ws and wss; HTTP_PROXY is not looked at for wss, nor HTTPS_PROXY for ws.
func environment(scheme, proxy string) []string {
	switch {
	case strings.HasPrefix(proxy, "socks"):
		return []string{"ALL_PROXY=" + proxy}
	case scheme == "ws":
		return []string{"HTTP_PROXY=" + proxy}
	}
	return []string{"HTTPS_PROXY=" + proxy}
}

// TestProxies: where the direct way is closed, real proxies carry a stream, whole, for ws and wss.
func TestProxies(t *testing.T) {
	t.Parallel()
	stream := read(t, sample("mpeg1.ts"))
	for kind, startProxy := range proxyKinds {
		for _, user := range []string{"", "hubert"} {
			t.Run(kind+" "+user, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				proxy := startProxy(t, s, user, "s3cr3t")
				s.proxy.await(proxy)
				if user != "" {
					refusesWrongUser(t, s, proxy)
					proxy = strings.Replace(proxy, "://", "://"+user+":s3cr3t@", 1)
				}
				for _, scheme := range []string{"ws", "wss"} {
					flags, trust := []string{"--conns", "1"}, []string(nil)
					if scheme == "wss" {
						ca := filepath.Join(t.TempDir(), "ca.pem")
						flags, trust = append(flags, "--tls", "--tls-ca", ca), []string{"--ca", ca}
					}
					server := s.relay.serve("10.81.2.1", flags...)
					push := append(trust, server.url+"/cam1")

					closed := s.push(t, nil, append([]string{"--give-up-after", "50ms"}, push...)...)
					closed.expect(1)
					closed.find(closed.stderr, "network is unreachable")

					p := s.push(t, environment(scheme, proxy), push...)
					p.expect(0)
					p.all(int64(len(stream)))
					if r := server.report(); len(r.Connections) != 1 || r.Connections[0].Close.Code != 1000 {
						t.Errorf("connections: %+v", r.Connections)
					}
					same(t, "what arrived", server.saved(1), stream)
					if strings.Contains(p.stderr.String(), "s3cr3t") {
						t.Errorf("the password is in the log: %s", p.stderr)
					}
				}
			})
		}
	}
}

// push pushes the sample from the camera's machine.
func (s site) push(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	in, err := os.Open(sample("mpeg1.ts"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	return s.camera.start(wiring{stdin: in}, env, "vw-push", append([]string{"--backoff-min", "20ms", "--backoff-max",
		"100ms"}, args...)...)
}

// refusesWrongUser checks what is said when the proxy wants another user, or any.
func refusesWrongUser(t *testing.T, s site, proxy string) {
	t.Helper()
	wrong, none := "SOCKS5: username/password authentication failed", "SOCKS5: no acceptable authentication methods"
	if strings.HasPrefix(proxy, "http") {
		// Tinyproxy says 401 where it means 407.
		wrong, none = "the proxy answered 401 Unauthorized",
			"the proxy answered 407 Proxy Authentication Required, asking for Basic"
	}
	for userinfo, want := range map[string]string{"hubert:wr0ng@": wrong, "": none} {
		p := s.push(t, environment("ws", strings.Replace(proxy, "://", "://"+userinfo, 1)), "--give-up-after", "50ms",
			"ws://10.81.2.1:1/x")
		p.expect(1)
		line := p.find(p.stderr, "(?m)^vw-push: error: (.*)$")
		if !strings.HasSuffix(line, "through the proxy "+proxy+": "+want) ||
			strings.Contains(p.stderr.String(), "wr0ng") {
			t.Errorf("the error is %q; stderr:\n%s", line, p.stderr)
		}
	}
}

// TestNoProxy: NO_PROXY is obeyed, and nothing but it opens the direct way.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proxy := proxyKinds["tinyproxy"](t, s, "", "")
	s.proxy.await(proxy)
	stream := read(t, sample("mpeg1.ts"))

	near := s.proxy.serve("10.81.1.2", "--conns", "1")
	nobody := "HTTP_PROXY=http://10.81.1.2:1"
	p := s.push(t, []string{nobody}, "--give-up-after", "50ms", near.url)
	p.expect(1)
	p.find(p.stderr, "through the proxy http://10.81.1.2:1: .*connection refused")
	p = s.push(t, []string{nobody, "NO_PROXY=relay.test,10.81.1.0/24"}, near.url)
	p.expect(0)
	p.all(int64(len(stream)))
	near.wait()
	same(t, "what arrived directly", near.saved(1), stream)

	far := s.relay.serve("10.81.2.1")
	p = s.push(t, []string{"HTTP_PROXY=" + proxy, "NO_PROXY=10.81.2.1"}, "--give-up-after", "50ms", far.url)
	p.expect(1)
	p.find(p.stderr, "network is unreachable")

	// A port without a listener: the proxy says so.
	p = s.push(t, []string{"HTTP_PROXY=" + proxy}, "--give-up-after", "50ms", "ws://10.81.2.1:1/x")
	p.expect(1)
	p.find(p.stderr, "through the proxy "+proxy+": the proxy answered 50[0-9] ")
}

// TestUnusableProxy: wrong usage, said before anything is read.
func TestUnusableProxy(t *testing.T) {
	t.Parallel()
	p := start(t, wiring{}, "env", "ALL_PROXY=socks4://hubert:s3cr3t@proxy.test", tool(t, "vw-push"),
		"ws://127.0.0.1:1/x")
	p.expect(2)
	if text := p.stderr.String(); !strings.Contains(text, "vw-push: error: in the environment: ALL_PROXY: ") ||
		!strings.Contains(text, "vw-push: hint: ") || strings.Contains(text, "s3cr3t") {
		t.Error(text)
	}
}
