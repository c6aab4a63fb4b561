//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// relay is a machine that a camera's machine reaches over a cable, with nginx in front of a vw-testserver:
//
//	camera 10.82.1.1 ── 10.82.1.2 nginx ── 127.0.0.1 vw-testserver
type relay struct {
	camera, machine *namespace
	authority       *authority
	config          string
	nginx           *process
	servers         []*server // one after the other
}

const nginxConfig = `
daemon off;
user root;
worker_processes 1;
worker_shutdown_timeout 100ms;
pid FOLDER/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path FOLDER/1;
	proxy_temp_path FOLDER/2;
	fastcgi_temp_path FOLDER/3;
	uwsgi_temp_path FOLDER/4;
	scgi_temp_path FOLDER/5;
	ssl_certificate CERT;
	ssl_certificate_key KEY;
	server {
		listen 10.82.1.2:443 ssl;
		listen [2001:db8:82::2]:443 ssl;
		listen 10.82.1.2:80;
		location /in/ {
			proxy_pass http://127.0.0.1:8080;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_read_timeout 2s;
			proxy_send_timeout 2s;
		}
		location /in/private/ {
			auth_basic cameras;
			auth_basic_user_file FOLDER/users;
			proxy_pass http://127.0.0.1:8080;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
		}
		location /moved { return 301 https://elsewhere.test/in/cam1?secret=s3cr3t; }
	}
	server {
		listen 10.82.1.2:8443 ssl;
		ssl_client_certificate CLIENTS;
		ssl_verify_client on;
		location / {
			proxy_pass http://127.0.0.1:8080;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
		}
	}
}
`

func newRelay(t *testing.T) *relay {
	t.Helper()
	ns := newNamespaces(t, 2)
	r := &relay{camera: ns[0], machine: ns[1], authority: newAuthority(t)}
	join(r.camera, r.machine, "cable", "10.82.1.1/24", "10.82.1.2/24")
	r.camera.ip("address add 2001:db8:82::1/64 dev cable nodad")
	r.machine.ip("address add 2001:db8:82::2/64 dev cable nodad")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "users"), []byte("hubert:{PLAIN}s3cr3t\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cert, key := r.authority.server("10.82.1.2", "2001:db8:82::2")
	config := strings.NewReplacer("FOLDER", folder, "CERT", cert, "KEY", key, "CLIENTS",
		r.authority.file).Replace(nginxConfig)
	r.config = write(t, "nginx.conf", []byte(config))
	r.startNginx()
	r.startServer()
	return r
}

func (r *relay) startNginx() {
	r.machine.t.Helper()
	r.nginx = r.machine.start(wiring{}, nil, unpacked(r.machine.t, "nginx"), "-e", "stderr", "-c", r.config)
	r.machine.await("http://10.82.1.2:80")
}

func (r *relay) startServer() {
	r.machine.t.Helper()
	s := &server{save: r.machine.t.TempDir()}
	s.process = r.machine.start(wiring{}, nil, "vw-testserver", "--listen", "127.0.0.1:8080", "--save", s.save,
		"--timeout", "1h",
		"--linger", "10ms")
	s.find(s.stdout, `"event":"listening"`)
	r.servers = append(r.servers, s)
}

// server is the one that runs.
func (r *relay) server() *server { return r.servers[len(r.servers)-1] }

// push carries bytes through nginx, from the camera's machine.
func (r *relay) push(stdin []byte, args ...string) *process {
	r.machine.t.Helper()
	args = append([]string{"--ca", r.authority.file, "--backoff-min", "20ms", "--backoff-max", "100ms"}, args...)
	return r.camera.start(wiring{stdin: strings.NewReader(string(stdin))}, nil, "vw-push", args...)
}

// TestNginx: through nginx as a reverse proxy a stream arrives whole, over IPv4 and IPv6, plain and with TLS, with
// Basic authentication and with a client's certificate; the log says why nginx refuses, so that a user can act on it.
func TestNginx(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	stream := read(t, sample("mpeg1.ts"))
	cert, key := r.authority.client()
	arrived := 0
	for _, args := range [][]string{
		{"ws://10.82.1.2/in/cam1"},
		{"wss://10.82.1.2/in/cam1"},
		{"wss://[2001:db8:82::2]/in/cam1"},
		{"wss://hubert:s3cr3t@[2001:db8:82::2]/in/private/cam1"},
		{"--cert", cert, "--key", key, "wss://10.82.1.2:8443/in/cam1"},
	} {
		p := r.push(stream, args...)
		p.expect(0)
		p.all(int64(len(stream)))
		arrived++
		r.server().find(r.server().stdout, fmt.Sprintf(`"event":"closed","id":%d,.*"close":\{"code":1000`, arrived))
		same(t, strings.Join(args, " "), r.server().saved(arrived), stream)
		if strings.Contains(p.stderr.String(), "s3cr3t") {
			t.Errorf("a secret is in the log: %s", p.stderr)
		}
	}
	for url, want := range map[string]string{
		"wss://10.82.1.2/moved": `301 Moved Permanently, redirecting to ` +
			`https://elsewhere\.test/in/cam1[:"]`,
		"wss://10.82.1.2/nothing":                     `404 Not Found`,
		"wss://hubert:wr0ng@10.82.1.2/in/private/cam": `401 Unauthorized`,
		"wss://10.82.1.2:8443/in/cam1":                `400 Bad Request.*No required SSL certificate was sent`,
	} {
		p := r.push(stream, "--give-up-after", "50ms", url)
		p.expect(1)
		p.find(p.stderr, `(?m)^vw-push: error: .*`+want)
		p.find(p.stderr, `(?m)^vw-push: hint: `)
		if text := p.stderr.String(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "wr0ng") {
			t.Errorf("a secret is in the log: %s", text)
		}
	}
}

// TestNginxKeepsIdleConnections: nginx ends a connection on which nothing comes back for proxy_read_timeout. Pings keep
// it open while there is nothing to send.
func TestNginxKeepsIdleConnections(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	in, out := pipe(t)
	p := r.camera.start(wiring{stdin: in}, nil, "vw-push", "--dead-after", "3s", "ws://10.82.1.2/in/cam1")
	in.Close()
	r.server().find(r.server().stdout, `"event":"connected"`)
	time.Sleep(5 * time.Second) // with nothing to send: more than twice proxy_read_timeout
	if _, err := out.WriteString("late"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	p.expect(0)
	p.all(4)
	if c := p.account().Out[0]; c.Connects != 1 {
		t.Errorf("%d connections; stderr:\n%s", c.Connects, p.stderr)
	}
}

// TestNginxComesAndGoes: nginx is reloaded and restarted, and the server behind it too, while a stream flows. A pong
// comes from the server and not from nginx, so nothing that nginx had taken and lost counts as confirmed.
func TestNginxComesAndGoes(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			t.Parallel()
			r := newRelay(t)
			source := longSample(t, "mpeg1.ts", 40)
			in, out := pipe(t)
			args := []string{"--ca", r.authority.file, "--backoff-min", "10ms", "--backoff-max", "50ms"}
			status := 0
			if live {
				args, status = append(args, "--live"), 3
			}
			p := r.camera.start(wiring{stdin: in}, nil, "vw-push", append(args, "wss://10.82.1.2/in/cam1")...)
			in.Close()
			// Before that, no tool has made room in the pipe for more than it holds by default.
			testwait.Eventually(t, "a connection", func() bool { return r.connects() > 0 })
			feed := newFeeder(t, out, 10*time.Millisecond, portions(source, 9_001))
			disturbances := []func(){
				func() { r.nginx.signal(syscall.SIGHUP) },
				func() { r.nginx.signal(syscall.SIGTERM); r.nginx.wait(); r.startNginx() },
				func() { r.server().signal(os.Interrupt); r.server().wait(); r.startServer() },
			}
			for n := range 9 {
				before := r.connects()
				disturbances[n%3]()
				testwait.Eventually(t, "another connection", func() bool { return r.connects() > before })
				size := r.newest()
				testwait.Eventually(t, "bytes on it", func() bool { return r.newest() > size })
			}
			sent := feed.end()
			p.expect(status)
			r.server().signal(os.Interrupt)
			r.server().wait()
			checkThroughNginx(t, p, r.pieces(), sent, live)
			if live {
				feed.neverWaited()
			}
		})
	}
}

// connects is how many connections have come through so far.
func (r *relay) connects() (n int) {
	for _, s := range r.servers {
		n += strings.Count(s.stdout.String(), `"event":"connected"`)
	}
	return n
}

// pieces returns what each connection brought, in order.
func (r *relay) pieces() (all [][]byte) {
	r.machine.t.Helper()
	for _, s := range r.servers {
		files, err := filepath.Glob(filepath.Join(s.save, "*"))
		if err != nil {
			r.machine.t.Fatal(err)
		}
		for _, file := range files {
			all = append(all, read(r.machine.t, file))
		}
	}
	return all
}

// newest is how many bytes the newest connection has brought.
func (r *relay) newest() int {
	all := r.pieces()
	if len(all) == 0 {
		return 0
	}
	return len(all[len(all)-1])
}

// checkThroughNginx checks what arrived in all, and the account of it.
func checkThroughNginx(t *testing.T, push *process, pieces [][]byte, source []byte, live bool) {
	t.Helper()
	if !live {
		push.all(int64(len(source)))
		t.Logf("%d connections, %d bytes, %d arrived again", len(pieces), len(source), unionIs(t, source, pieces))
		return
	}
	follow := followed{original: takeApart(source)}
	arrived := int64(0)
	for i, b := range pieces {
		if len(b) == 0 {
			continue
		}
		name := write(t, fmt.Sprintf("%03d.ts", i), b)
		places, _ := follow.piece(t, name, b)
		for _, place := range places {
			if place != injected {
				arrived += 188
			}
		}
		clean(t, name, b)
		decodesWhole(t, name)
	}
	c := push.account().Out[0]
	if arrived < c.Confirmed || arrived > c.Confirmed+c.Dropped.Lost {
		t.Errorf("%d bytes arrived: %+v", arrived, c)
	}
	t.Logf("%d connections, %d of %d bytes arrived: %+v", len(pieces), arrived, len(source), c.Dropped)
}
