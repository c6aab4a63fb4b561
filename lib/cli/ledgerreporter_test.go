package cli

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

// readLedger reads a ledger file, which must hold one line.
func readLedger(t *testing.T, name string) stream.Snapshot {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), "\n") != 1 || data[len(data)-1] != '\n' {
		t.Errorf("not one line: %q", data)
	}
	var s stream.Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return s
}

// onlyFile checks that the folder holds nothing else, such as a temporary file.
func onlyFile(t *testing.T, name string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(name) {
		t.Errorf("in the folder: %v, want %s only", entries, filepath.Base(name))
	}
}

func TestLedgerReporterWritesAtStartAndEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.json")
	ledger := stream.NewLedger("vw-test")
	stderr := newLockedBuffer()
	r, err := StartLedgerReporter(LedgerReporterOptions{Ledger: ledger, File: file, Stderr: stderr})
	if err != nil {
		t.Fatal(err)
	}
	if s := readLedger(t, file); s.Tool != "vw-test" || s.Ended != nil || s.In.Bytes != 0 {
		t.Errorf("at the start: %+v", s)
	}
	ledger.AddIn(5)
	if err := r.Close(0); err != nil {
		t.Fatal(err)
	}
	if s := readLedger(t, file); s.Ended == nil || s.In.Bytes != 5 {
		t.Errorf("at the end: %+v", s)
	}
	onlyFile(t, file)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&^0o644 != 0 || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, %v; want 0644 at most", info.Mode(), err)
	}
	if got := stderr.String(); got != "" {
		t.Errorf("stderr: got %q, want nothing", got)
	}
}

func TestLedgerReporterWritesEachInterval(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.json")
	ledger := stream.NewLedger("vw-test")
	r, err := StartLedgerReporter(LedgerReporterOptions{Ledger: ledger, File: file, Every: time.Millisecond,
		Stderr: newLockedBuffer()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(0)
	ledger.AddIn(5)
	testwait.Eventually(t, "the new count in the file", func() bool { return readLedger(t, file).In.Bytes == 5 })
}

func TestLedgerReporterPrintsAtSIGUSR1(t *testing.T) {
	ledger := stream.NewLedger("vw-test")
	ledger.AddIn(5)
	stderr := newLockedBuffer()
	r, err := StartLedgerReporter(LedgerReporterOptions{Ledger: ledger, Stderr: stderr})
	if err != nil {
		t.Fatal(err)
	}
	signalSelf(t, syscall.SIGUSR1)
	<-stderr.written
	if err := r.Close(0); err != nil {
		t.Error(err)
	}
	var s stream.Snapshot
	if err := json.Unmarshal([]byte(stderr.String()), &s); err != nil || s.In.Bytes != 5 || s.Ended != nil {
		t.Errorf("stderr: got %q, %v", stderr.String(), err)
	}
	if strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("stderr: not one line: %q", stderr.String())
	}
}

func TestLedgerReporterLogsStats(t *testing.T) {
	stderr := newLockedBuffer()
	r, err := StartLedgerReporter(LedgerReporterOptions{
		Ledger: stream.NewLedger("vw-test"), Stderr: stderr, Tool: "vw-test", Log: "text",
		Stats: time.Millisecond, StatsLine: func() []slog.Attr { return []slog.Attr{slog.Int("frames", 7)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	<-stderr.written
	<-stderr.written
	r.Close(0)
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasSuffix(line, "level=INFO msg=stats tool=vw-test frames=7\n") {
			t.Errorf("stderr: got %q", line)
		}
	}
}

func TestLedgerReporterRefusesAtStart(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "missing", "ledger"): "no such file or directory",
		dir:                                     dir + " is not a regular file",
		fifo:                                    fifo + " is not a regular file",
	} {
		r, err := StartLedgerReporter(LedgerReporterOptions{Ledger: stream.NewLedger("vw-test"), File: file,
			Stderr: newLockedBuffer()})
		if r != nil || err == nil || !strings.Contains(err.Error(), want) || Status(err) != ExitFailed {
			t.Errorf("%s: got %v, %v; want an error with %q", file, r, err, want)
		}
	}
}

func TestLedgerReporterFailsLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log := newLockedBuffer()
	r, err := StartLedgerReporter(LedgerReporterOptions{
		Ledger: stream.NewLedger("vw-test"), File: filepath.Join(dir, "ledger"), Every: time.Millisecond,
		Stderr: newLockedBuffer(), Throttled: NewThrottledLogger(NewLogger(log, "vw-test", "text", true)),
	})
	if err != nil {
		t.Fatal(err)
	}
	// Removing the folder would race with a file that is just being made in it.
	if err := os.Rename(dir, dir+" away"); err != nil {
		t.Fatal(err)
	}
	<-log.written
	if err := r.Close(0); err == nil || Status(err) != ExitFailed ||
		!strings.Contains(err.Error(), "write ledger "+dir) {
		t.Errorf("Close: got %v (status %d), want status 1", err, Status(err))
	}
	if got := log.String(); !strings.Contains(got, `msg="ledger not written"`) {
		t.Errorf("log: got %q", got)
	}
}

func TestLedgerReporterClosesOnAHungDisk(t *testing.T) {
	// A reporter whose write has not come back, without a disk that hangs.
	r := &LedgerReporter{options: LedgerReporterOptions{File: "ledger"}, terminate: make(chan struct{}),
		written: make(chan error)}
	if err := r.Close(time.Millisecond); err == nil || !strings.Contains(err.Error(), "did not answer within 1ms") {
		t.Errorf("got %v", err)
	}
}

func TestLedgerReporterFollowsALink(t *testing.T) {
	target := filepath.Join(t.TempDir(), "ledger.json")
	if err := os.WriteFile(target, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	r, err := StartLedgerReporter(LedgerReporterOptions{Ledger: stream.NewLedger("vw-test"), File: link,
		Stderr: newLockedBuffer()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(0); err != nil {
		t.Fatal(err)
	}
	if s := readLedger(t, target); s.Ended == nil {
		t.Errorf("the target: %+v", s)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
}

func TestLedgerReporterRemovesStale(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".ledger123456789012345678", ".ledger2024", ".ledger.bak",
		".other123456789012345678"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := StartLedgerReporter(LedgerReporterOptions{Ledger: stream.NewLedger("vw-test"),
		File: filepath.Join(dir, "ledger"), Stderr: newLockedBuffer()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(0); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), ".ledger.bak .ledger2024 .other123456789012345678 ledger"; got != want {
		t.Errorf("in the folder: %s; want %s", got, want)
	}
}
