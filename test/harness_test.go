// Package test runs the built tools, with the race detector in them, as a user would: real processes, pipes and
// sockets, real ffmpeg, curl and node.
package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

func TestMain(m *testing.M) {
	killAllOnSignal()
	code := m.Run()
	if toolFolder != "" {
		os.RemoveAll(toolFolder)
	}
	os.Exit(code)
}

// groups are the processes that run, by pid. Each leads a process group, so that what it has started ends with it.
var groups sync.Map

// killAllOnSignal ends all processes if a user stops the tests: Ctrl-C does not reach other process groups.
func killAllOnSignal() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stop
		groups.Range(func(pid, _ any) bool {
			_ = syscall.Kill(-pid.(int), syscall.SIGKILL)
			return true
		})
		os.Exit(1)
	}()
}

var toolFolder string

// buildTools builds all tools once, when the first test needs one.
var buildTools = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "vw-test-tools-")
	if err != nil {
		return "", err
	}
	toolFolder = folder
	args := []string{"build", "-o", folder}
	if os.Getenv("VW_TEST_NO_RACE") == "" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/...")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the tools: %w\n%s", err, out)
	}
	return folder, nil
})

// tool returns the path of a tool: vw's are built, all others must be installed.
func tool(t testing.TB, name string) string {
	t.Helper()
	if name == "nats-server" {
		path, err := filepath.Abs(filepath.Join("nats", name))
		if _, err2 := os.Stat(path); err != nil || err2 != nil {
			t.Skip("SKIPPED: no nats-server below test/nats (scripts/test installs it)")
		}
		return path
	}
	if !strings.HasPrefix(name, "vw-") {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("SKIPPED: %s is not installed (scripts/test installs it)", name)
		}
		return path
	}
	folder, err := buildTools()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, name)
}

// testTimeout ends a test that has failed: what it bounds takes a second at most on an idle machine.
const testTimeout = 60 * time.Second

// process is a running program. What it writes is kept; its stdout, too, unless it goes elsewhere.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	done   chan struct{}
	err    error
	ledger string // its file, if it has one
}

// output keeps what is written, and lets a test wait for a line of it.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// wiring is a process's standard input and output. Nil: no input; output is kept.
type wiring struct {
	stdin  io.Reader
	stdout *os.File
	env    []string // beside the test's own environment
	dir    string   // "": the test's own
}

// start runs a program. It and all that it starts end with the test at the latest.
func start(t testing.TB, w wiring, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	if i := slices.Index(args, "--ledger"); i >= 0 {
		p.ledger = args[i+1]
	} else if strings.HasPrefix(name, "vw-") && name != "vw-testserver" {
		p.ledger = filepath.Join(t.TempDir(), name+".ledger.json")
		at := 0
		if name == "vw-nats" {
			at = 1 // its flags follow the command
		}
		args = slices.Insert(slices.Clone(args), at, "--ledger", p.ledger)
	}
	p.cmd = exec.Command(tool(t, name), args...)
	p.cmd.Stdin, p.cmd.Dir = w.stdin, w.dir
	p.cmd.Env = append(p.cmd.Environ(), w.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if w.stdout != nil {
		p.cmd.Stdout = w.stdout
	}
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	pid := p.cmd.Process.Pid
	groups.Store(pid, nil)
	go func() {
		p.err = p.cmd.Wait()
		groups.Delete(pid)
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = syscall.Kill(-pid, syscall.SIGKILL) // with its children, as nginx's workers
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s: stderr:\n%s", name, p.stderr)
		}
		p.checkLedger()
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Errorf("%s: a data race:\n%s", name, p.stderr)
		}
	})
	return p
}

// wait waits for the process to end, and returns its exit status; a signal that killed it makes the status negative.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(testTimeout):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // a Go program prints its goroutines
		<-p.done
		p.t.Fatalf("%s did not end within %v; stderr:\n%s", p.name, testTimeout, p.stderr)
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// expect waits for the process to end with the status.
func (p *process) expect(status int) {
	p.t.Helper()
	if got := p.wait(); got != status {
		p.t.Fatalf("%s: exit status %d, want %d; stderr:\n%s", p.name, got, status, p.stderr)
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// find waits until what the process writes matches, and returns the first submatch.
func (p *process) find(o *output, pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(testTimeout)
	for {
		o.mu.Lock()
		m := re.FindStringSubmatch(o.buf.String())
		changed := o.changed
		o.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
		select {
		case <-changed:
		case <-p.done:
			if m := re.FindStringSubmatch(o.String()); m != nil {
				return m[len(m)-1]
			}
			p.t.Fatalf("%s ended without %q; stderr:\n%s", p.name, pattern, p.stderr)
		case <-limit:
			p.t.Fatalf("%s: no %q within %v; stderr:\n%s", p.name, pattern, testTimeout, p.stderr)
		}
	}
}

// account returns the ledger of a process that has ended by itself.
func (p *process) account() stream.Snapshot {
	p.t.Helper()
	s, ok := p.checkLedger()
	if !ok || s.Ended == nil || len(s.Out) == 0 {
		p.t.Fatalf("%s: no ledger, or an incomplete one: %+v", p.name, s)
	}
	return s
}

// checkLedger reads the ledger of a process that has ended, if it has written one, and checks it.
func (p *process) checkLedger() (s stream.Snapshot, ok bool) {
	p.t.Helper()
	if p.ledger == "" {
		return s, false
	}
	tool := p.name
	if !strings.HasPrefix(tool, "vw-") {
		tool = "" // a shell, for instance, that was given the tool's command line
	}
	return readLedger(p.t, p.ledger, tool)
}

// readLedger reads a tool's ledger, if there is one, and checks that each entry balances, and if the tool has ended,
// that nothing is held or unconfirmed. The tool "" means any.
func readLedger(t testing.TB, file, tool string) (s stream.Snapshot, ok bool) {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return s, false
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || tool != "" && s.Tool != tool {
		t.Errorf("%s: the ledger of %q, %v: %s", tool, s.Tool, err, b)
		return s, false
	}
	for _, c := range s.Out {
		if !c.Balances() || s.Ended != nil && (c.Held != 0 || c.Unconfirmed != 0) {
			t.Errorf("%s: the ledger does not balance: %s", tool, b)
		}
	}
	return s, true
}

// all checks that so many bytes came in, and that all of them were delivered to all outputs.
func (p *process) all(want int64) {
	p.t.Helper()
	s := p.account()
	if s.In.Bytes != want {
		p.t.Errorf("%s: %d bytes came in, want %d", p.name, s.In.Bytes, want)
	}
	for _, c := range s.Out {
		if c.In != want || c.Confirmed != want {
			p.t.Errorf("%s: %d of %d bytes were confirmed: %+v", p.name, c.Confirmed, want, c)
		}
	}
}

// pipe returns the two ends of a pipe for two processes; the caller closes both when these have been started.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// stage is one program of a pipeline.
type stage struct {
	name string
	args []string
}

// pipeline starts programs, each reading what the one before it writes, and returns them in order. The first reads
// stdin, and the last one's output is kept.
func pipeline(t testing.TB, stdin io.Reader, stages ...stage) []*process {
	t.Helper()
	var all []*process
	var toClose []*os.File
	in := stdin
	for i, s := range stages {
		w := wiring{stdin: in}
		if i < len(stages)-1 {
			r, out := pipe(t)
			toClose = append(toClose, r, out)
			w.stdout, in = out, r
		}
		all = append(all, start(t, w, s.name, s.args...))
	}
	for _, f := range toClose {
		f.Close()
	}
	return all
}

// ingestURL waits until vw-ingest listens.
func ingestURL(p *process) string {
	p.t.Helper()
	return p.find(p.stderr, `"?msg"?[=:]"?listening\b.*\burl"?[=:]"?([^\s"]+)`)
}

// server is a running vw-testserver.
type server struct {
	*process
	url  string
	save string
}

// serve starts a vw-testserver that saves what comes.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{save: t.TempDir()}
	s.process = start(t, wiring{}, "vw-testserver", append([]string{"--save", s.save, "--timeout",
		testTimeout.String()}, args...)...)
	s.url = s.find(s.stdout, `"event":"listening","url":"([^"]+)"`)
	return s
}

// report is the report of vw-testserver.
type report struct {
	Passed      bool         `json:"passed"`
	Connections []connection `json:"connections"`
}

type connection struct {
	ID       int    `json:"id"`
	Path     string `json:"path"`
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"`
	Close    struct {
		Code int `json:"code"`
	} `json:"close"`
	TS struct {
		Packets          int64 `json:"packets"`
		Frames           int64 `json:"frames"`
		Keyframes        int64 `json:"keyframes"`
		SyncErrors       int64 `json:"sync_errors"`
		ContinuityErrors int64 `json:"continuity_errors"`
		Gaps             int64 `json:"gaps"`
		StartsAtKeyframe bool  `json:"starts_at_keyframe"`
	} `json:"ts"`
}

// report waits for the end and returns the report, which is the last line.
func (s *server) report() report {
	s.t.Helper()
	s.wait()
	var last string
	lines := bufio.NewScanner(strings.NewReader(s.stdout.String()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = lines.Text()
	}
	var r report
	if err := json.Unmarshal([]byte(last), &r); err != nil {
		s.t.Fatalf("the last line of vw-testserver: %v in %q", err, last)
	}
	return r
}

// saved returns the bytes of the n-th connection (from 1).
func (s *server) saved(n int) []byte {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.save, fmt.Sprintf("%03d*", n)))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("files of connection %d: %v, %v", n, files, err)
	}
	return read(s.t, files[0])
}

// receives waits until so many bytes of the nth connection have been saved.
func (s *server) receives(n, size int) {
	s.t.Helper()
	testwait.Eventually(s.t, fmt.Sprintf("%d bytes of connection %d", size, n), func() bool {
		files, _ := filepath.Glob(filepath.Join(s.save, fmt.Sprintf("%03d*", n)))
		return len(files) == 1 && len(read(s.t, files[0])) >= size
	})
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// same fails the test if two blobs differ, with the place.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	t.Errorf("%s: %d bytes, want %d; they differ from byte %d", what, len(got), len(want), n)
}

// recorded returns the names of the files in a folder, in order, without those that begin with a dot.
func recorded(t testing.TB, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("not removed: %s", e.Name())
			continue
		}
		names = append(names, filepath.Join(folder, e.Name()))
	}
	return names
}

// sample returns the path of a sample stream.
func sample(name string) string { return filepath.Join("testdata", name) }
