package vwingest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

// testTimeout ends a test that has failed.
const testTimeout = time.Minute

// toolVariable makes the test binary vw-ingest.
const toolVariable = "VW_INGEST_TEST_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(toolVariable) != "" {
		Main()
	}
	// With the race detector a process sleeps for a second at its end, which would be most of the tests' time.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func tool(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), append(env, toolVariable+"=1")...)
	return cmd
}

// status is the exit status in the error of Wait.
func status(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

func TestWrongUsage(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		env    string
		status int
		says   string
	}{
		{args: "--listen 0.0.0.0:0", status: 2, says: "not on loopback"},
		{args: "--listen :0", status: 2, says: "hint: .*--no-auth"},
		{args: "--listen [::]:0", status: 2, says: "not on loopback"},
		{args: "--listen nonsense", status: 2, says: "--listen"},
		{args: "--listen 127.0.0.1:nonsense", status: 2, says: "--listen"},
		{args: "--listen http://127.0.0.1:0/", status: 2, says: "--listen"},
		{args: "--publishers mux", status: 2, says: "one or takeover"},
		{args: "--publishers takeover --once", status: 2, says: "--once"},
		{args: "--tls-cert x", status: 2, says: "--tls-key"},
		{args: "--no-auth --token-file x", status: 2, says: "--token-file"},
		{args: "--pull http://127.0.0.1:1/", status: 2, says: "--pull(?s:.*)hint: .*ws://"},
		{args: "--pull ws://user:secret@:1/?secret", status: 2, says: "^[^_]*--pull: [^_]*$"},
		{args: "--pull ws://127.0.0.1:1/ --listen 127.0.0.1:0", status: 2, says: "--pull with --listen"},
		{args: "--pull ws://127.0.0.1:1/ --publishers one", status: 2, says: "--pull with --publishers"},
		{args: "--token-file=", status: 2, says: "--token-file needs a value"},
		{args: "--max-body 1x", status: 2, says: "--max-body"},
		{args: "--idle-timeout -1s", status: 2, says: "--idle-timeout"},
		{args: "--max-age 1s", status: 2, says: "--live"},
		{args: "extra", status: 2, says: "unexpected argument"},
		{args: "--nonsense", status: 2, says: "unknown flag"},
		{args: "--token-file /does/not/exist", status: 1, says: "/does/not/exist"},
		{args: "--token-file " + empty, status: 1, says: "empty"},
		{args: "--listen :0", env: tokenVariable + "=", status: 1, says: "empty"},
		{args: "--tls-cert /does/not/exist --tls-key x", status: 1, says: "--tls-cert"},
		{args: "--listen " + taken.Addr().String(), status: 1, says: "in use(?s:.*)hint: .*--listen"},
	} {
		t.Run(c.args, func(t *testing.T) {
			cmd := tool(t, []string{c.env}, strings.Fields(c.args)...)
			var out, log bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &log
			if got := status(t, cmd.Run()); got != c.status {
				t.Errorf("exit status %d, not %d", got, c.status)
			}
			if out.Len() > 0 {
				t.Errorf("on stdout: %q", out.String())
			}
			if !regexp.MustCompile(c.says).Match(log.Bytes()) ||
				!strings.HasPrefix(log.String(), "vw-ingest: error: ") {
				t.Errorf("on stderr: %s", log.String())
			}
		})
	}
}

// running is a vw-ingest that listens.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	stdout *os.File // the reading end
	ledger string

	mu   sync.Mutex
	log  bytes.Buffer
	read chan struct{} // closed when stderr has ended
}

var listening = regexp.MustCompile(`msg=listening .*url=(http\S*)`)

func launch(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, stdout: out, ledger: filepath.Join(t.TempDir(), "ledger.json"), read: make(chan struct{})}
	r.cmd = tool(t, env, append([]string{"--listen", "127.0.0.1:0", "--ledger", r.ledger}, args...)...)
	r.cmd.Stdout = w
	text, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		out.Close()
		_ = r.cmd.Process.Kill()
		<-r.read
		_ = r.cmd.Wait()
	})
	lines := bufio.NewReader(text)
	first, err := lines.ReadString('\n')
	m := listening.FindStringSubmatch(first)
	if m == nil {
		close(r.read)
		t.Fatalf("the first line is %q, %v", first, err)
	}
	r.url = m[1]
	go func() {
		defer close(r.read)
		for rest := bufio.NewScanner(lines); rest.Scan(); {
			r.mu.Lock()
			r.log.WriteString(rest.Text() + "\n")
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *running) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// await waits until the log says something.
func (r *running) await(text string) {
	r.t.Helper()
	testwait.Eventually(r.t, fmt.Sprintf("the log says %q", text), func() bool {
		return strings.Contains(r.logged(), text)
	})
}

// end waits for the exit status, and checks the ledger.
func (r *running) end(want int) stream.Snapshot {
	r.t.Helper()
	late := time.AfterFunc(testTimeout, func() { _ = r.cmd.Process.Kill() })
	<-r.read
	if got := status(r.t, r.cmd.Wait()); !late.Stop() || got != want {
		r.t.Errorf("exit status %d, not %d; log:\n%s", got, want, r.logged())
	}
	var s stream.Snapshot
	text, err := os.ReadFile(r.ledger)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if c := s.Out[0]; !c.Balances() || c.To != "stdout" || c.Held != 0 || c.Unconfirmed != 0 || s.In.Bytes != c.In ||
		s.Ended == nil {
		r.t.Errorf("the ledger does not balance: %s", text)
	}
	return s
}

func (r *running) post(body io.Reader) int {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testTimeout}
	resp, err := client.Post(r.url, "", body)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestOnceThrough(t *testing.T) {
	r := launch(t, nil, "--once")
	body := bytes.Repeat([]byte("0123456789"), 200000)
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(r.stdout)
		got <- all
	}()
	if code := r.post(bytes.NewReader(body)); code != 204 {
		t.Error(code)
	}
	if all := <-got; !bytes.Equal(all, body) {
		t.Errorf("%d bytes came out, not %d", len(all), len(body))
	}
	r.end(0)
}

// The token may come from the environment, and with it any address may be listened on.
func TestTokenFromEnvironment(t *testing.T) {
	r := launch(t, []string{tokenVariable + "=s3cret"}, "--stats", "20ms", "--listen", "0.0.0.0:0")
	if code := r.post(strings.NewReader("x")); code != 401 {
		t.Error(code)
	}
	r.url = strings.Replace(r.url, "[::]", "127.0.0.1", 1) + "s3cret/cam"
	if code := r.post(strings.NewReader("x")); code != 204 {
		t.Error(code)
	}
	r.await("msg=stats")
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	r.end(0)
	if strings.Contains(r.logged(), "s3cret") {
		t.Errorf("the token is in the log:\n%s", r.logged())
	}
}

func TestSignals(t *testing.T) {
	const header = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	publish := func(r *running, text string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(r.url, "http:"), "/"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(testTimeout))
		if _, err := io.WriteString(conn, header+text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	t.Run("one", func(t *testing.T) {
		r := launch(t, nil)
		publish(r, "ffff\r\nhello")
		p := make([]byte, 5)
		if _, err := io.ReadFull(r.stdout, p); err != nil || string(p) != "hello" {
			t.Fatalf("%q, %v", p, err)
		}
		_ = r.cmd.Process.Signal(syscall.SIGINT)
		if s := r.end(0); s.Out[0].Confirmed != 5 {
			t.Errorf("%+v", s)
		}
	})
	// More than pipes and sockets hold, and less than the buffer: when it has been sent, much of it waits for the
	// reader.
	flood := "fffffff\r\n" + strings.Repeat("x", 24<<20)
	t.Run("two", func(t *testing.T) {
		r := launch(t, nil, "--linger", "1h", "--buffer", "64MiB")
		publish(r, flood)
		_ = r.cmd.Process.Signal(syscall.SIGINT)
		r.await("publisher cut")
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		s := r.end(1)
		if d := s.Out[0].Dropped; d.Exit+d.Lost == 0 {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(r.logged(), "told twice to stop") {
			t.Errorf("log: %s", r.logged())
		}
	})
	t.Run("linger", func(t *testing.T) {
		r := launch(t, nil, "--linger", "100ms", "--buffer", "64MiB")
		publish(r, flood)
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		r.end(3)
	})
}

func TestReaderGoes(t *testing.T) {
	for _, publishing := range []bool{false, true} {
		r := launch(t, nil)
		if publishing {
			if code := r.post(strings.NewReader("hello")); code != 204 {
				t.Error(code)
			}
		}
		r.stdout.Close()
		r.end(1)
		if strings.Contains(r.logged(), "rror") {
			t.Errorf("noise:\n%s", r.logged())
		}
	}
}
