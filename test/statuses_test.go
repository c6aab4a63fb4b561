package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestUsageErrors: wrong usage is status 2, one clear line on stderr, and nothing on stdout.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"vw-push"},
		{"vw-push", "--nonsense", "ws://127.0.0.1:1/"},
		{"vw-push", "http://127.0.0.1:1/"},
		{"vw-push", "--buffer", "much", "ws://127.0.0.1:1/"},
		{"vw-push", "--max-age", "1s", "ws://127.0.0.1:1/"},
		{"vw-push", "ws://127.0.0.1:1/", "--live"},
		{"vw-push", "--format", "avi", "ws://127.0.0.1:1/"},
		{"vw-push", "--header", "no colon", "ws://127.0.0.1:1/"},
		{"vw-push", "ws://127.0.0.1:99999/"},
		{"vw-push", "--ca", "/dev/null", "wss://127.0.0.1:1/"},
		{"vw-push", "--dead-after", "1ms", "ws://127.0.0.1:1/"},
		{"vw-ingest", "leftover"},
		{"vw-ingest", "--listen", "0.0.0.0:0"},
		{"vw-ingest", "--listen", "nowhere"},
		{"vw-ingest", "--max-age", "1s"},
		{"vw-ingest", "--publishers", "many"},
		{"vw-record"},
		{"vw-record", "a", "b"},
		{"vw-record", "--rotate-size", "-1", "x.ts"},
		{"vw-record", "--rotate-time", "soon", "x.ts"},
		{"vw-record", "x%"},
		{"vw-testserver", "--conns", "-1"},
		{"vw-testserver", "--expect-sha256", "xyz"},
		{"vw-testserver", "leftover"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			p := start(t, wiring{stdin: strings.NewReader("")}, args[0], args[1:]...)
			p.expect(2)
			if out := p.stdout.String(); out != "" {
				t.Errorf("stdout: %q", out)
			}
			if !strings.HasPrefix(p.stderr.String(), args[0]+": error: ") {
				t.Errorf("stderr: %q", p.stderr)
			}
		})
	}
}

// TestHelp: help, manual page and version asked for go to stdout, and the first two list the exit statuses.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record", "vw-testserver"} {
		p := start(t, wiring{}, name, "--help")
		p.expect(0)
		if out := p.stdout.String(); !strings.Contains(out, "Exit status:") || !strings.Contains(out, name) ||
			p.stderr.String() != "" {
			t.Errorf("%s --help: %q, %q", name, out, p.stderr)
		}
		p = start(t, wiring{}, name, "--man")
		p.expect(0)
		for _, want := range []string{".SH EXIT STATUS", ".SH SIGNALS", `\-\-quiet`, `vw\-`} {
			if out := p.stdout.String(); !strings.Contains(out, want) || p.stderr.String() != "" {
				t.Errorf("%s --man: no %s in %q, %q", name, want, out, p.stderr)
			}
		}
		p = start(t, wiring{}, name, "--version")
		p.expect(0)
		if out := p.stdout.String(); !strings.HasPrefix(out, name+" ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s --version: %q", name, out)
		}
	}
}

// TestStatusOne: what cannot start, or is told twice to stop, is status 1.
func TestStatusOne(t *testing.T) {
	t.Parallel()
	file := write(t, "a-file", nil)
	for _, args := range [][]string{
		{"vw-push", "--ca", "/nonexistent/ca.pem", "ws://127.0.0.1:1/"},
		{"vw-push", "--token-file", "/nonexistent/token", "ws://127.0.0.1:1/"},
		{"vw-push", "--ledger", "/nonexistent/ledger", "ws://127.0.0.1:1/"},
		{"vw-push", "--give-up-after", "50ms", "ws://127.0.0.1:1/"},
		{"vw-record", filepath.Join(file, "x.ts")},
		{"vw-ingest", "--listen", "192.0.2.1:1", "--no-auth"},
		{"vw-testserver", "--save", filepath.Join(file, "x")},
	} {
		p := start(t, wiring{stdin: strings.NewReader("x")}, args[0], args[1:]...)
		if got := p.wait(); got != 1 {
			t.Errorf("%q: status %d; %s", args, got, p.stderr)
		}
		if out := p.stdout.String(); out != "" && args[0] != "vw-testserver" {
			t.Errorf("%q: stdout: %q", args, out)
		}
		if !strings.Contains(p.stderr.String(), args[0]+": error: ") {
			t.Errorf("%q: stderr: %q", args, p.stderr)
		}
	}
	r, w := pipe(t)
	twice := start(t, wiring{stdin: r}, "vw-push", "ws://127.0.0.1:1/")
	if _, err := w.WriteString("held"); err != nil {
		t.Fatal(err)
	}
	twice.find(twice.stderr, "no connection")
	twice.signal(syscall.SIGTERM)
	twice.signal(syscall.SIGINT)
	twice.expect(1)
	if d := twice.account().Out[0].Dropped; d.Exit != 4 {
		t.Errorf("%+v", d)
	}
}

// TestStatusThree: something was dropped.
func TestStatusThree(t *testing.T) {
	t.Parallel()
	ts := read(t, sample("mpeg1.ts"))
	s := serve(t, "--conns", "1")
	p := start(t, wiring{stdin: bytes.NewReader(append(bytes.Clone(ts), "no packet"...))}, "vw-push", "--live", s.url)
	p.expect(3)
	if d := p.account().Out[0].Dropped; d.Sum() != 9 {
		t.Errorf("%+v", d)
	}
	s.expect(0)
	same(t, "what arrived", s.saved(1), ts)
}

// TestExpectations: vw-testserver's verdict is its status.
func TestExpectations(t *testing.T) {
	t.Parallel()
	b := blob(10_000, 30)
	for name, c := range map[string]struct {
		args   []string
		send   bool
		status int
	}{
		"right file":  {[]string{"--expect-file", write(t, "want", b)}, true, 0},
		"wrong file":  {[]string{"--expect-file", write(t, "want", b[:9999])}, true, 4},
		"right bytes": {[]string{"--expect-bytes", "10000"}, true, 0},
		"wrong bytes": {[]string{"--expect-bytes", "9999"}, true, 4},
		"wrong hash":  {[]string{"--expect-sha256", strings.Repeat("0", 64)}, true, 4},
		"no TS":       {[]string{"--expect-clean"}, true, 4},
		"nobody came": {[]string{"--timeout", "200ms"}, false, 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, append([]string{"--conns", "1"}, c.args...)...)
			if c.send {
				start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", s.url).expect(0)
			}
			s.expect(c.status)
			if r := s.report(); r.Passed != (c.status == 0) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestNothingLeftBehind: a tool that fails leaves no file.
func TestNothingLeftBehind(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	p := start(t, wiring{stdin: strings.NewReader("")}, "vw-record", "--ledger", filepath.Join(folder, "ledger.json"),
		"--rotate-size", "0", filepath.Join(folder, "x.ts"))
	if got := p.wait(); got != 0 && got != 2 {
		t.Errorf("status %d", got)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "ledger.json" {
			t.Errorf("not removed: %s", e.Name())
		}
	}
}

// TestStats: --stats prints a line every so often, in all tools, also with --quiet.
func TestStats(t *testing.T) {
	t.Parallel()
	s := serve(t, "--stats", "20ms", "--quiet")
	s.find(s.stderr, `msg=stats .*bytes=0`)
	r, w := pipe(t)
	p := []*process{
		start(t, wiring{stdin: r}, "vw-push", "--stats", "20ms", "--quiet", s.url),
		start(t, wiring{stdin: r}, "vw-record", "--stats", "20ms", "--quiet", filepath.Join(t.TempDir(), "x.ts")),
		start(t, wiring{stdout: w}, "vw-ingest", "--stats", "20ms", "--quiet", "--listen", "127.0.0.1:0"),
	}
	for _, p := range p {
		p.find(p.stderr, `msg=stats .*in=0`)
		// And the whole ledger, as one line of JSON.
		p.signal(syscall.SIGUSR1)
		p.find(p.stderr, `\{"tool":"`+p.name+`","started":"[^"]+","in":\{"bytes":0\},"out":\[`)
	}
	p[0].find(p[0].stderr,
		`in_rate=0.00Mbit/s \S+connected=true \S+rate=0.00Mbit/s \S+confirmed=0 \S+unconfirmed=0 \S+held=0 `+
			`\S+age=0s \S+dropped=0 \S+round_trip=`)
	for _, p := range p {
		p.signal(os.Interrupt)
	}
	r.Close()
	w.Close()
	for _, p := range p {
		p.expect(0)
		p.account()
	}
}

// TestClosedStdout: a stream, or a report, that has nowhere to go is an error, not a delivery.
func TestClosedStdout(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		tool(t, "vw-ingest") + " --listen 127.0.0.1:0 >&-",
		tool(t, "vw-record") + " --tee " + filepath.Join(t.TempDir(), "x.ts") + " < " + sample("mpeg1.ts") + " >&-",
		tool(t, "vw-testserver") + " --timeout 1ms >&-",
	} {
		p := start(t, wiring{}, "bash", "-c", command)
		p.expect(1)
		p.find(p.stderr, "error: standard output is closed")
	}
	// A report in a file is enough.
	report := filepath.Join(t.TempDir(), "report.json")
	start(t, wiring{}, "bash", "-c", tool(t, "vw-testserver")+" --timeout 1ms --report "+report+" >&-").expect(0)
	if !bytes.Contains(read(t, report), []byte(`"passed":true`)) {
		t.Errorf("report: %s", read(t, report))
	}
}

// TestStuckLog: a reader of the log that hangs neither delays a tool nor keeps it from ending.
func TestStuckLog(t *testing.T) {
	t.Parallel()
	s := serve(t, "--conns", "1")
	logs, stuck := pipe(t) // without a reader
	in, feed := pipe(t)
	cmd := exec.Command(tool(t, "vw-push"), "--stats", "1ms", "--log", "json", s.url)
	cmd.Stdin, cmd.Stderr = in, stuck
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.find(s.stdout, `"event":"connected"`)
	testwait.Eventually(t, "the pipe of the log takes no more", func() bool {
		fds := []unix.PollFd{{Fd: int32(stuck.Fd()), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 50)
		return err == nil && n == 0
	})
	if _, err := feed.WriteString("still here"); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testTimeout):
		_ = cmd.Process.Kill()
		t.Error("it did not end")
	}
	logs.Close()
	s.expect(0)
	same(t, "what arrived", s.saved(1), []byte("still here"))
}
