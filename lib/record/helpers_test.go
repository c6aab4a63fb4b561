package record

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// sample returns a sample stream.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "test", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testInput is an input that can be closed and has read deadlines.
type testInput struct {
	io.Reader
	closed chan struct{}
	once   sync.Once
}

func newInput(r io.Reader) *testInput { return &testInput{Reader: r, closed: make(chan struct{})} }

// sized reads at most size bytes at once, which determines the chunks.
type sized struct {
	r    io.Reader
	size int
}

func (s sized) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.size)]) }

func (s *testInput) SetReadDeadline(at time.Time) error {
	if p, ok := s.Reader.(*io.PipeReader); ok && !at.IsZero() && at.Before(time.Now()) {
		return p.CloseWithError(os.ErrDeadlineExceeded)
	}
	return nil
}

func (s *testInput) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// memory is an output that keeps what is written to it.
type memory struct {
	mu   sync.Mutex
	data bytes.Buffer
	gone chan struct{}
}

func newMemory() *memory { return &memory{gone: make(chan struct{})} }

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data.Write(p)
}

func (m *memory) Bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data.Bytes())
}

func (m *memory) SetWriteDeadline(time.Time) error { return nil }
func (m *memory) Gone() <-chan struct{}            { return m.gone }
func (m *memory) Close() error                     { return nil }

// logRecorder is a Logger that keeps what is logged.
type logRecorder struct {
	mu    sync.Mutex
	lines []string
}

func (s *logRecorder) Warn(key, msg string, args ...any) { s.add(key + ": " + msg) }

func (s *logRecorder) add(line string) {
	s.mu.Lock()
	s.lines = append(s.lines, line)
	s.mu.Unlock()
}

func (s *logRecorder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// trial is a recording in a folder of its own, with a manifest.
type trial struct {
	t      testing.TB
	dir    string
	config Config
	disk   disk
	log    *logRecorder
	rec    *Recording
}

// newTrial prepares a recording. The test may still change the config.
func newTrial(t testing.TB, in io.Reader, l Limits) *trial {
	t.Helper()
	return newTrialIn(t, folder(t), in, l)
}

// folder returns a folder for one test, in memory if possible, because thousands of syncs take long elsewhere.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "vw-record-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newTrialIn(t testing.TB, dir string, in io.Reader, l Limits) *trial {
	t.Helper()
	s := &logRecorder{}
	return &trial{t: t, dir: dir, disk: osDisk{}, log: s, config: Config{
		Template: mustTemplate(t, filepath.Join(dir, "cam.ts")),
		Limits:   l, Manifest: filepath.Join(dir, "manifest.jsonl"),
		In: newInput(in), Buffer: 16 << 20, Linger: 10 * time.Second,
		Ledger: stream.NewLedger("vw-record"), Log: slog.New(slog.DiscardHandler), Throttled: s,
	}}
}

func mustTemplate(t testing.TB, text string) *Template {
	t.Helper()
	template, err := ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func (tr *trial) open() *Recording {
	tr.t.Helper()
	r, err := newRecording(tr.config, tr.disk)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.rec = r
	return r
}

// run records to the end and returns the error. It checks that the ledger balances and nothing is left in the queue.
func (tr *trial) run() error {
	tr.t.Helper()
	return tr.runUntil(context.Background(), context.Background())
}

func (tr *trial) runUntil(soft, hard context.Context) error {
	tr.t.Helper()
	r := tr.rec
	if r == nil {
		r = tr.open()
	}
	err := r.Run(soft, hard)
	for _, out := range tr.config.Ledger.Snapshot(true).Out {
		if !out.Balances() || out.Held != 0 || out.Unconfirmed != 0 {
			tr.t.Errorf("the ledger does not balance: %+v", out)
		}
	}
	return err
}

func (tr *trial) counts() stream.Counts { return tr.config.Ledger.Snapshot(false).Out[0] }

// recorded is a file with its line of the manifest.
type recorded struct {
	Entry
	path string
	data []byte
}

// files reads the recorded files in the order of the manifest and checks each against its line. It fails if there are
// other files.
func (tr *trial) files() []recorded {
	tr.t.Helper()
	lines, err := os.ReadFile(tr.config.Manifest)
	if err != nil {
		tr.t.Fatal(err)
	}
	var files []recorded
	known := map[string]bool{tr.config.Manifest: true}
	for line := range bytes.Lines(lines) {
		var f recorded
		if err := json.Unmarshal(line, &f.Entry); err != nil {
			tr.t.Fatalf("manifest line %q: %v", line, err)
		}
		if f.isExecLine() {
			continue
		}
		f.path = filepath.Join(tr.config.Template.folder, f.File)
		if f.data, err = os.ReadFile(f.path); err != nil {
			tr.t.Fatal(err)
		}
		if sum := sha256.Sum256(f.data); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(f.data)) != f.Bytes {
			tr.t.Errorf("%s is not what the manifest says", f.File)
		}
		known[f.path] = true
		files = append(files, f)
	}
	err = filepath.WalkDir(tr.dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !known[path] {
			tr.t.Errorf("%s is not in the manifest", path)
		}
		return err
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	return files
}

// joined returns the stream in files without gaps.
func joined(files []recorded) []byte {
	var b []byte
	for _, f := range files {
		b = append(b, f.data[f.Injected:]...)
	}
	return b
}

// reasons lists why the files ended.
func reasons(files []recorded) string {
	var all []string
	for _, f := range files {
		all = append(all, string(f.Reason))
	}
	return strings.Join(all, " ")
}
