package vwtestserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const sample = "../../../test/testdata/mpeg1.ts"

// TestNodePublisher: npm's ws, which shares no code with vw, publishes a stream that meets every expectation.
func TestNodePublisher(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("SKIPPED: node is missing: the publisher that is not ours is not tested")
	}
	const folder = "../../../test/node"
	if _, err := os.Stat(folder + "/node_modules/ws"); err != nil {
		install := exec.Command("npm", "ci", "--loglevel=error")
		install.Dir = folder
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	dir := t.TempDir()
	report := filepath.Join(dir, "report.json")
	if err := os.WriteFile(report, []byte(`{"passed":true,"old":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tl := start(t, "--conns", "1", "--timeout", "1m", "--save", dir+"/saved", "--arrivals", dir+"/arrivals.csv",
		"--report", report, "--expect-file", sample, "--expect-file", "/cam1="+sample, "--expect-bytes", ">=1KiB",
		"--expect-bytes", "/cam1=412660", "--expect-clean")
	if _, err := os.Stat(report); err == nil {
		t.Error("the report of an earlier run is still there")
	}
	node := exec.Command("node", folder+"/ws-publisher.mjs", "--size", "4000", tl.url+"/cam1", sample)
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("publisher: %v\n%s", err, out)
	}
	tl.line("connected")
	if c := tl.line("closed"); c["messages"] != 104.0 || c["bytes"] != 412660.0 || c["path"] != "/cam1" {
		t.Errorf("closed: %v", c)
	}
	r := tl.line("report")
	if r["passed"] != true {
		t.Errorf("report: %v", r)
	}
	if stderr := tl.end(0); stderr != "" {
		t.Errorf("stderr: %s", stderr)
	}
	var same map[string]any
	if b, err := os.ReadFile(report); err != nil || json.Unmarshal(b, &same) != nil ||
		fmt.Sprint(same) != fmt.Sprint(r) {
		t.Errorf("%v: the report in the file is another one: %s", err, b)
	}
	want, _ := os.ReadFile(sample)
	if got, err := os.ReadFile(dir + "/saved/001-cam1.ts"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("saved: %d bytes, %v", len(got), err)
	}
	if rows, err := os.ReadFile(dir + "/arrivals.csv"); err != nil || bytes.Count(rows, []byte("\n")) != 105 {
		t.Errorf("arrivals: %v\n%s", err, rows)
	}
}

func TestStatuses(t *testing.T) {
	cases := map[string]struct {
		args   []string
		status int
		stderr string
	}{
		"passed": {[]string{"--conns", "1", "--expect-bytes", "5"}, 0, ""},
		"bytes":  {[]string{"--bytes", "5"}, 0, ""},
		"an expectation failed": {[]string{"--conns", "1", "--expect-bytes", "6"}, 4,
			"expectation bytes failed: connection 1 (/): 5 bytes came, not 6\n"},
		// The timeouts leave the publisher time to come and go on a busy machine.
		"timed out": {[]string{"--conns", "2", "--timeout", "2s"}, 5,
			"timed out after 2s: waited for 2 connections to end, 1 came\n"},
		"both": {[]string{"--bytes", "1MiB", "--timeout", "2s", "--expect-bytes", "/cam1=5"}, 4,
			"expectation bytes failed: no connection came with the path /cam1\n" +
				"vw-testserver: error: timed out after 2s: waited for 1048576 bytes, 5 came\n"},
		"time is over": {[]string{"--timeout", "2s"}, 0, ""},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			tl := start(t, append(c.args, "--quiet")...)
			publish(t, tl.url, wsconn.DialOptions{}, []byte("hello"))
			tl.line("connected")
			tl.line("closed")
			if r := tl.line("report"); r["passed"] != (c.status == 0) {
				t.Errorf("report: %v", r)
			}
			want := c.stderr
			if want != "" {
				want = "vw-testserver: error: " + want
			}
			if got := tl.end(c.status); got != want {
				t.Errorf("stderr %q, want %q", got, want)
			}
		})
	}
}

func TestTLSAndToken(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	t.Setenv("VW_TESTSERVER_TOKEN", "secret")
	tl := start(t, "--tls", "--tls-ca", ca, "--conns", "1", "--verbose")
	if !strings.HasPrefix(tl.url, "wss://127.0.0.1:") {
		t.Errorf("url %s", tl.url)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	publish(t, tl.url, wsconn.DialOptions{
		TLS:    &tls.Config{RootCAs: pool},
		Header: http.Header{"Authorization": {"Bearer secret"}},
	}, []byte("x"))
	tl.line("connected")
	tl.line("closed")
	tl.line("report")
	if stderr := tl.end(0); strings.Contains(stderr, "secret") || !strings.Contains(stderr, "connection 1 begins") {
		t.Errorf("stderr has no log, or tells the token: %s", stderr)
	}
}

// TestFirstSignal: open connections may go on until they end.
func TestFirstSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		tl := start(t, "--conns", "5", "--expect-bytes", "4")
		c := dial(t, tl.url, wsconn.DialOptions{})
		tl.line("connected")
		tl.Process.Signal(sig)
		if err := c.Write(testContext(t), []byte("last")); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(testContext(t), 1000, ""); err != nil {
			t.Fatal(err)
		}
		tl.line("closed")
		tl.line("report")
		tl.end(0)
	}
}

// TestLinger: a connection that does not end gets close code 1001.
func TestLinger(t *testing.T) {
	tl := start(t, "--linger", "10ms", "--quiet")
	c := dial(t, tl.url, wsconn.DialOptions{})
	tl.line("connected")
	tl.Process.Signal(syscall.SIGTERM)
	testwait.Closed(t, "the connection has ended", c.Done())
	if end := tl.line("closed"); fmt.Sprint(end["close"]) != "map[code:1001 reason:the test server has ended]" {
		t.Errorf("closed: %v", end)
	}
	tl.line("report")
	tl.end(0)
}

func TestSecondSignal(t *testing.T) {
	tl := start(t, "--linger", "1h")
	dial(t, tl.url, wsconn.DialOptions{})
	tl.line("connected")
	tl.Process.Signal(syscall.SIGTERM)
	// A second signal that comes before the process has taken the first is lost in it: send more until it has ended.
	testwait.Eventually(t, "the end", func() bool {
		_ = tl.Process.Signal(syscall.SIGTERM)
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", tl.Process.Pid))
		return len(b) == 0 || bytes.Contains(b, []byte(") Z "))
	})
	if stderr := tl.end(1); !strings.Contains(stderr, "error: told twice to stop") {
		t.Errorf("stderr: %s", stderr)
	}
}

// TestStdoutGone: the tool fails if the reader of its output has gone.
func TestStdoutGone(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `"$0" --timeout 300ms --quiet; echo $? >&2`, self)
	cmd.Env = append(os.Environ(), asTool+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	r.Close()
	err = cmd.Run()
	w.Close()
	if err != nil || stderr.String() != "1\n" {
		t.Errorf("%v, stderr %q", err, stderr.String())
	}
}

// TestAnnounceAndJUnit: the URL is in the file before the listening line, and the verdict is in the XML.
func TestAnnounceAndJUnit(t *testing.T) {
	dir := t.TempDir()
	announce, junit := filepath.Join(dir, "url"), filepath.Join(dir, "junit.xml")
	for _, old := range []string{announce, junit} {
		if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tl := start(t, "--quiet", "--conns", "1", "--expect-bytes", "6", "--announce", announce, "--junit", junit)
	if b, err := os.ReadFile(announce); err != nil || string(b) != tl.url+"\n" {
		t.Errorf("announced %q, %v; want %s", b, err, tl.url)
	}
	if _, err := os.Stat(junit); err == nil {
		t.Error("the verdict of an earlier run is still there")
	}
	publish(t, tl.url, wsconn.DialOptions{}, []byte("hello"))
	tl.line("connected")
	tl.line("closed")
	tl.line("report")
	tl.end(4)
	if b, err := os.ReadFile(junit); err != nil || !strings.Contains(string(b),
		`<failure message="connection 1 (/): 5 bytes came, not 6">`) {
		t.Errorf("%v: %s", err, b)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestFault: the faults that happened are in the report.
func TestFault(t *testing.T) {
	tl := start(t, "--quiet", "--conns", "1", "--fault", "do=refuse,conn=1,code=401", "--fault",
		"do=close,code=4001,after=1messages")
	if _, err := wsconn.Dial(testContext(t), tl.url, wsconn.DialOptions{}); err == nil {
		t.Error("the first handshake is not refused")
	}
	c := dial(t, tl.url, wsconn.DialOptions{})
	if err := c.Write(testContext(t), []byte("x")); err != nil {
		t.Fatal(err)
	}
	testwait.Closed(t, "the connection has ended", c.Done())
	tl.line("connected")
	tl.line("closed")
	r := tl.line("report")
	if faults, ok := r["faults"].([]any); !ok || len(faults) != 2 || fmt.Sprint(r["refused"]) != "map[401:1]" {
		t.Errorf("report: %v", r)
	}
	tl.end(0)
}

// TestReportIsLast: after the report nothing is printed, also not the statistics on standard error.
func TestReportIsLast(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	printed := 0
	for range 10 {
		cmd := exec.CommandContext(testContext(t), self, "--timeout", "20ms", "--stats", "1us")
		cmd.Env = append(os.Environ(), asTool+"=1")
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if last := lines[len(lines)-1]; err != nil || !strings.Contains(last, `"event":"report"`) {
			t.Fatalf("%v, the last of %d lines: %s", err, len(lines), last)
		}
		printed += strings.Count(string(out), "msg=stats")
	}
	if printed == 0 {
		t.Error("nothing was printed again and again")
	}
}
