package test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// webServer is a proxy of which docs/recipes/behind-a-proxy.md has a configuration.
type webServer struct {
	name string
	args func(config string) []string
	// around makes a whole configuration of the documented one. FOLDER, PORT, CERT, KEY and BOTH are filled in later.
	around func(documented string) string
	// broken are what is left out or changed, and what is then seen.
	broken []brokenLine
}

type brokenLine struct {
	line, instead string
	check         string // its name in proxyChecks
}

var webServers = []webServer{
	{
		name: "nginx", args: func(config string) []string { return []string{"-e", "stderr", "-c", config} },
		around: func(documented string) string {
			return "daemon off; master_process off; pid FOLDER/pid; error_log FOLDER/error.log;\nevents {}\nhttp {\n" +
				"access_log FOLDER/access.log; client_body_temp_path FOLDER/1; proxy_temp_path FOLDER/2;\n" +
				"fastcgi_temp_path FOLDER/3; uwsgi_temp_path FOLDER/4; scgi_temp_path FOLDER/5;\n" +
				strings.NewReplacer("443 ssl", "127.0.0.1:PORT ssl", "/etc/ssl/cameras.pem", "CERT",
					"/etc/ssl/cameras.key", "KEY", "/var/log/nginx", "FOLDER").Replace(documented) + "}\n"
		},
		broken: []brokenLine{
			{"access_log off;", "", "the log keeps the token"},
			{"error_log FOLDER/cameras.log crit;", "", "the log keeps the token"},
			{"client_max_body_size 0;", "", "a long body"},
			{"client_body_timeout 1h;", "client_body_timeout 1s;", "a POST that pauses"},
			{"proxy_http_version 1.1;", "", "a websocket"},
			{"proxy_request_buffering off;", "", "a POST as it comes"},
			{"proxy_read_timeout 1h;", "proxy_read_timeout 1s;", "a websocket that gets no answer"},
			{"proxy_set_header Upgrade $http_upgrade;", "", "a websocket"},
			{"proxy_set_header Connection $upgraded;", "", "a websocket"},
			{"proxy_set_header X-Forwarded-For $remote_addr;", "", "the client's address"},
		},
	},
	{
		name: "caddy",
		args: func(config string) []string { return []string{"run", "--adapter", "caddyfile", "--config", config} },
		around: func(documented string) string {
			return strings.NewReplacer("{\n\tlog", "{\n\tadmin off\n\tauto_https off\n\tlog",
				"cameras.example.org {", "https://:PORT {\n\tbind 127.0.0.1\n\ttls CERT KEY").Replace(documented)
		},
		broken: []brokenLine{{"exclude http.log.error", "", "the log keeps the token"}},
	},
	{
		name: "haproxy", args: func(config string) []string { return []string{"-db", "-f", config} },
		around: func(documented string) string {
			return strings.NewReplacer(":443", "127.0.0.1:PORT", "/etc/haproxy/cameras.pem", "BOTH").Replace(documented)
		},
		broken: []brokenLine{
			{"timeout client 1h", "timeout client 1s", "a websocket that gets no answer"},
			{"timeout server 1h", "timeout server 1s", "a POST that pauses"},
			{"http-request set-header X-Forwarded-For %[src]", "", "the client's address"},
		},
	},
}

// proxyChecks are what must hold behind each web server. Each returns what is wrong. They run in this order, since the
// last one ends vw-ingest.
var proxyChecks = []struct {
	name  string
	check func(*behindProxy) string
}{
	{"a POST as it comes", func(b *behindProxy) string {
		conn := b.send(chunkedPost + "bc\r\n" + string(packets(1)) + "\r\n")
		defer conn.Close()
		if !b.comesOut(188) {
			return "nothing comes out while the POST goes on"
		}
		_, _ = io.WriteString(conn, "0\r\n\r\n")
		return wrongStatus(conn, 204)
	}},
	{"a long body", func(b *behindProxy) string {
		conn := b.dialTLS(1)
		defer conn.Close()
		go io.WriteString(conn, counted(packets(20_000)))
		return wrongStatus(conn, 204)
	}},
	{"a POST that pauses", func(b *behindProxy) string {
		conn := b.send(chunkedPost + "bc\r\n" + string(packets(1)) + "\r\n")
		defer conn.Close()
		time.Sleep(2500 * time.Millisecond) // the pause
		_, _ = io.WriteString(conn, "0\r\n\r\n")
		return wrongStatus(conn, 204)
	}},
	{"a websocket", func(b *behindProxy) string {
		conn := b.send(doorHandshake + hello + closing(1000, ""))
		defer conn.Close()
		return wrongStatus(conn, 101)
	}},
	{"a websocket that gets no answer", func(b *behindProxy) string {
		conn := b.send(doorHandshake)
		defer conn.Close()
		if wrong := wrongStatus(conn, 101); wrong != "" {
			return wrong
		}
		time.Sleep(2500 * time.Millisecond) // as a publisher that never pings, in a pause
		_, _ = io.WriteString(conn, hello+closing(1000, ""))
		if b, _ := io.ReadAll(conn); !strings.HasSuffix(string(b), "\x88\x02\x03\xe8") {
			return "the websocket was cut"
		}
		return ""
	}},
	{"the client's address", func(b *behindProxy) string {
		conn := b.dialTLS(9)
		defer conn.Close()
		_, _ = io.WriteString(conn,
			"POST /wr0ng HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.1\r\nContent-Length: 1\r\n\r\nx")
		if wrong := wrongStatus(conn, 401); wrong != "" {
			return wrong
		}
		if addr := b.find(b.stderr, `msg=refused .*addr=(\S+)`); addr != "127.0.0.9" {
			return "refused for " + addr
		}
		return ""
	}},
	{"the log keeps the token", func(b *behindProxy) string {
		b.signal(syscall.SIGKILL) // nobody listens: what else is a web server to log?
		b.wait()
		conn := b.send(strings.Replace(counted(packets(1)), "\r\n", "\r\nConnection: close\r\n", 1))
		if got := statusOf(conn); got < 500 {
			return fmt.Sprint("status ", got, " from nobody")
		}
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
		time.Sleep(200 * time.Millisecond) // what it logs after that, it logs unseen
		b.proxy.signal(syscall.SIGTERM)
		b.proxy.wait()
		logs := b.proxy.stderr.String() + b.proxy.stdout.String()
		files, _ := filepath.Glob(filepath.Join(b.folder, "*.log"))
		for _, file := range files {
			logs += string(read(b.t, file))
		}
		if strings.Contains(logs, "sesame") {
			return "the token is in the log"
		}
		return ""
	}},
}

// behindProxy is a vw-ingest behind a web server, which its clients connect to.
type behindProxy struct {
	*door
	proxy     *process
	folder    string
	lacksLine bool // of the documented configuration
}

func wrongStatus(conn net.Conn, want int) string {
	if got := statusOf(conn); got != want {
		return fmt.Sprintf("status %d, not %d", got, want)
	}
	return ""
}

func (b *behindProxy) dialTLS(n byte) net.Conn {
	b.t.Helper()
	return tls.Client(b.dial(n), b.tls)
}

// comesOut reports whether n bytes have come out. Where a line is left out they never come: it gives up after a second.
func (b *behindProxy) comesOut(n int64) (came bool) {
	giveUp := time.Now().Add(time.Second)
	return testwait.Poll(func() bool {
		info, err := os.Stat(b.out)
		came = err == nil && info.Size() >= n
		return came || b.lacksLine && time.Now().After(giveUp)
	}) && came
}

// openBehind opens a door behind a web server with a configuration.
func openBehind(t *testing.T, w webServer, config string) *behindProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	a := newAuthority(t)
	cert, key := a.server("127.0.0.1")
	both := write(t, "both.pem", append(read(t, cert), read(t, key)...))
	d := openDoor(t, "--token-file", tokenFile(t), "--trusted-proxy", "127.0.0.1", "--format", "raw")
	b := &behindProxy{door: d, folder: t.TempDir()}
	file := write(t, "config", []byte(strings.NewReplacer("127.0.0.1:8081", d.addr, "FOLDER", b.folder, "PORT", port,
		"CERT", cert, "KEY", key, "BOTH", both).Replace(config)))
	ln.Close() // its port is free for the web server
	b.proxy = start(t, wiring{}, unpacked(t, w.name), w.args(file)...)
	d.addr, d.tls = "127.0.0.1:"+port, &tls.Config{RootCAs: a.pool(), ServerName: "127.0.0.1"}
	testwait.Eventually(t, w.name+" listens", func() bool {
		conn, err := net.Dial("tcp", d.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return b
}

// documented returns the configuration of a web server.
func (w webServer) documented(t *testing.T) string {
	t.Helper()
	page := string(read(t, "../docs/recipes/behind-a-proxy.md"))
	m := regexp.MustCompile("(?s)```" + w.name + "\n(.*?)```").FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no configuration of %s is documented", w.name)
	}
	return w.around(m[1])
}

// TestDoorBehindProxies: behind each web server everything works that the documentation promises, and without a line
// what it says breaks.
func TestDoorBehindProxies(t *testing.T) {
	t.Parallel()
	for _, w := range webServers {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			config := w.documented(t)
			b := openBehind(t, w, config)
			for _, c := range proxyChecks {
				if wrong := c.check(b); wrong != "" {
					t.Errorf("%s: %s", c.name, wrong)
				}
				if c.name != "the log keeps the token" {
					b.awaitNobody()
				}
			}
		})
		for i, l := range w.broken {
			t.Run(fmt.Sprint(w.name, " without ", i), func(t *testing.T) {
				t.Parallel()
				config := w.documented(t)
				if strings.Count(config, l.line) != 1 {
					t.Fatalf("%d lines %s", strings.Count(config, l.line), l.line)
				}
				b := openBehind(t, w, strings.Replace(config, l.line, l.instead, 1))
				b.lacksLine = true
				for _, c := range proxyChecks {
					if c.name == l.check && c.check(b) == "" {
						t.Errorf("%s: it works without %s", c.name, l.line)
					}
				}
			})
		}
	}
}

// unpacked is where a program is: where scripts/test unpacks it, or on the PATH.
func unpacked(t testing.TB, name string) string {
	t.Helper()
	if path := unpackedFile(t, name); path != "" {
		return path
	}
	return tool(t, name)
}

// unpackedFile is where scripts/test has unpacked a program, or "".
func unpackedFile(t testing.TB, name string) string {
	t.Helper()
	for _, folder := range []string{"bin", "sbin"} {
		path, err := filepath.Abs("unpacked/usr/" + folder + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
