package test

import (
	"net"
	"strings"
	"testing"
	"time"
)

// idleProxies are reverse proxies, each with a configuration that ends what is silent for two seconds, where it can.
var idleProxies = map[string]struct {
	config string
	args   []string // with CONFIG for its file
}{
	"haproxy": {`defaults
  mode http
  timeout connect 5s
  timeout client 2s
  timeout server 2s
frontend door
  bind LISTEN
  default_backend server
backend server
  server it SERVER
`, []string{"-db", "-f", "CONFIG"}},
	"caddy": {`{
	admin off
	auto_https off
}
http://LISTEN {
	reverse_proxy SERVER
}
`, []string{"run", "--adapter", "caddyfile", "--config", "CONFIG"}},
}

// TestIdleThroughProxies: pings keep a connection through HAProxy or Caddy open while there is nothing to send; see
// TestNginxKeepsIdleConnections.
func TestIdleThroughProxies(t *testing.T) {
	t.Parallel()
	for name, c := range idleProxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := unpacked(t, name)
			s := serve(t, "--conns", "1")
			addr := freeAddress(t)
			config := write(t, "config", []byte(strings.NewReplacer("LISTEN", addr, "SERVER",
				strings.TrimPrefix(s.url, "ws://")).Replace(c.config)))
			args := append([]string(nil), c.args...)
			args[len(args)-1] = config
			start(t, wiring{}, program, args...)
			in, out := pipe(t)
			p := start(t, wiring{stdin: in}, "vw-push", "--format", "raw", "--dead-after", "3s",
				"--backoff-min", "20ms", "ws://"+addr+"/in/cam1")
			in.Close()
			s.find(s.stdout, `"event":"connected"`)
			time.Sleep(5 * time.Second) // with nothing to send: more than twice the proxy's limit
			if _, err := out.WriteString("late"); err != nil {
				t.Fatal(err)
			}
			out.Close()
			p.expect(0)
			p.all(4)
			if c := p.account().Out[0]; c.Connects != 1 {
				t.Errorf("%d connections; stderr:\n%s", c.Connects, p.stderr)
			}
			s.expect(0)
		})
	}
}

// freeAddress is an address for a server that cannot say which one it has got. No connection takes it meanwhile: those
// come from 127.0.0.1.
func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.78.1:0")
	if err != nil {
		t.Skipf("SKIPPED: %v", err) // not all of 127.0.0.0/8 is there elsewhere than on Linux
	}
	defer ln.Close()
	return ln.Addr().String()
}
