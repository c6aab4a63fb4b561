package vwrecord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/record"
	"github.com/timdrysdale/vw/lib/stream"
)

func TestMain(m *testing.M) {
	// With the race detector a process sleeps for a second at its end, which would be most of the test's time.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"vw-record": Main})
}

func TestScripts(t *testing.T) { testscript.Run(t, testscript.Params{Dir: "testdata/script"}) }

// tool is a running vw-record in a folder of its own.
type tool struct {
	*exec.Cmd
	t      *testing.T
	stderr bytes.Buffer
}

// start starts vw-record with a manifest and a ledger.
func start(t *testing.T, dir string, in io.Reader, args ...string) *tool {
	t.Helper()
	args = append([]string{"--manifest", "m.jsonl", "--ledger", "l.json"}, args...)
	tl := &tool{Cmd: exec.Command("vw-record", args...), t: t}
	tl.Dir, tl.Stdin, tl.Cmd.Stderr = dir, in, &tl.stderr
	if err := tl.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tl.Process.Kill() })
	return tl
}

// status waits for the tool and returns its exit status.
func (tl *tool) status() int {
	var exit *exec.ExitError
	if err := tl.Wait(); err != nil && !errors.As(err, &exit) {
		tl.t.Fatal(err)
	}
	return tl.ProcessState.ExitCode()
}

// ledger reads the ledger and checks that it balances.
func ledger(t *testing.T, dir string) stream.Snapshot {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "l.json"))
	var s stream.Snapshot
	if err != nil || json.Unmarshal(b, &s) != nil {
		t.Fatalf("ledger: %v %s", err, b)
	}
	for _, out := range s.Out {
		if !out.Balances() {
			t.Errorf("the ledger does not balance: %s", b)
		}
	}
	return s
}

func manifest(t *testing.T, dir string) []record.Entry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "m.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []record.Entry
	for line := range bytes.Lines(b) {
		var e record.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		entries = append(entries, e)
	}
	return entries
}

// joined returns the stream that the files of a manifest hold.
func joined(t *testing.T, dir string, entries []record.Entry) []byte {
	t.Helper()
	var all []byte
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.File))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b[e.Injected:]...)
	}
	return all
}

// sha256sum checks the files against the manifest as a user would.
func sha256sum(t *testing.T, dir string, entries []record.Entry) {
	t.Helper()
	var list strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&list, "%s  %s\n", e.SHA256, e.File)
	}
	cmd := exec.Command("sha256sum", "-c", "--quiet")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(list.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

// need skips the test if a program is not installed.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("SKIPPED: %s is not installed", program)
	}
}

func sample(name string) string { return filepath.Join("..", "..", "..", "test", "testdata", name) }

// TestFilesPlayAlone: ffmpeg decodes each file without a message, and ffprobe counts as many frames as the manifest.
func TestFilesPlayAlone(t *testing.T) {
	need(t, "ffmpeg")
	need(t, "ffprobe")
	for name, flags := range map[string][]string{
		"mpeg1.ts": {"--rotate-time", "1300ms"},
		"h264.ts":  {"--rotate-size", "70000"},
		"intra.ts": {"--rotate-frames", "11"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in, err := os.Open(sample(name))
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if tl := start(t, dir, in, append(flags, "cam.ts")...); tl.status() != 0 {
				t.Fatal(tl.stderr.String())
			}
			entries := manifest(t, dir)
			if len(entries) < 2 {
				t.Errorf("%d files", len(entries))
			}
			sha256sum(t, dir, entries)
			for _, e := range entries {
				path := filepath.Join(dir, e.File)
				out, err := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", path, "-f", "null",
					"-").CombinedOutput()
				if err != nil || len(out) > 0 {
					t.Errorf("%s: %v %s", e.File, err, out)
				}
				out, err = exec.Command("ffprobe", "-v", "error", "-count_packets", "-select_streams", "v",
					"-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", path).Output()
				count, _, _ := strings.Cut(string(out), "\n")
				if n, _ := strconv.ParseInt(count, 10, 64); err != nil || n != e.Frames {
					t.Errorf("%s: ffprobe counts %d frames, the manifest %d (%v)", e.File, n, e.Frames, err)
				}
			}
		})
	}
}

// TestKill: after a kill -9 the finished files are whole, and the next start recovers the unfinished one.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 10, FramePackets: 5}, 2000)
	for round := range 8 {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		in, feed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		tl := start(t, dir, in, "--rotate-frames", "50", "%Y/cam-%H%M%S.ts")
		_ = in.Close()
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			_, _ = feed.Write(b) // fails when the tool is killed
			_ = feed.Close()
		}()
		enough := rand.Int64N(int64(len(b) * 3 / 4))
		testwait.Eventually(t, "enough is on the disk", func() bool { return onDisk(dir) > enough })
		if err := tl.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		tl.status()
		<-fed
		before, _ := os.ReadFile(filepath.Join(dir, "m.jsonl"))
		if tl := start(t, dir, bytes.NewReader(nil), "%Y/cam-%H%M%S.ts"); tl.status() != 0 {
			t.Fatal(tl.stderr.String())
		}
		entries := manifest(t, dir)
		sha256sum(t, dir, entries)
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*.ts"))
		if temps, _ := filepath.Glob(filepath.Join(dir, "*", ".*")); len(temps) != 0 || len(files) != len(entries) {
			t.Errorf("round %d: left behind: %v; %d files, %d in the manifest", round, temps, len(files), len(entries))
		}
		if !bytes.HasPrefix(b, joined(t, dir, entries)) {
			t.Errorf("round %d: the files are not what was sent; before:\n%s", round, before)
		}
		for _, e := range entries {
			if !e.StartsAtKeyframe || e.Bytes%mpegts.PacketSize != 0 {
				t.Errorf("round %d: %+v", round, e)
			}
		}
	}
}

// onDisk returns how many bytes are in the folders of dir.
func onDisk(dir string) (size int64) {
	for _, pattern := range []string{"*", ".vw-record-*"} {
		names, _ := filepath.Glob(filepath.Join(dir, "*", pattern))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				size += info.Size()
			}
		}
	}
	return size
}

// TestSignals: SIGHUP begins a new file; after SIGTERM the tool reads to the end of input and finishes.
func TestSignals(t *testing.T) {
	dir := t.TempDir()
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tl := start(t, dir, in, "cam.ts")
	_ = in.Close()
	g := tsgen.New(tsgen.Options{GOP: 5})
	write := func(n int) {
		for range n {
			if _, err := feed.Write(g.Frame(nil)); err != nil {
				t.Error(err)
			}
		}
	}
	write(5)
	temp := func() (size int64) {
		names, _ := filepath.Glob(filepath.Join(dir, ".vw-record-*"))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				size += info.Size()
			}
		}
		return size
	}
	testwait.Eventually(t, "the first group is written", func() bool { return temp() == 7*mpegts.PacketSize })
	if err := tl.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "the first file is finished", func() bool {
		write(5)
		_, err := os.Stat(filepath.Join(dir, "cam.ts"))
		return err == nil
	})
	if err := tl.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // had it ended at the signal, the next write would fail
	write(5)
	_ = feed.Close()
	if status := tl.status(); status != 0 {
		t.Errorf("status %d: %s", status, tl.stderr.String())
	}
	entries := manifest(t, dir)
	if len(entries) != 2 || entries[0].Reason != record.Hangup || entries[1].Reason != record.Signal {
		t.Errorf("%+v", entries)
	}
	if s := ledger(t, dir); s.Out[0].Confirmed != s.In.Bytes || s.Ended == nil {
		t.Errorf("%+v", s)
	}
}

// TestReaderGone: with --tee the recording goes on when the next tool ends; the log says so once, and the exit status
// is 1.
func TestReaderGone(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile(sample("mpeg1.ts"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c",
		"{ vw-record --tee --manifest m.jsonl --ledger l.json cam.ts; echo $? >status; } | head -c 1000 >/dev/null")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if status, _ := os.ReadFile(filepath.Join(dir, "status")); string(status) != "1\n" {
		t.Errorf("status %q", status)
	}
	if !bytes.Equal(joined(t, dir, manifest(t, dir)), b) {
		t.Error("the recording is not whole")
	}
	if n := strings.Count(stderr.String(), "standard output is gone"); n != 1 ||
		strings.Contains(stderr.String(), "error:") {
		t.Errorf("stderr: %s", stderr.String())
	}
	ledger(t, dir)
}

// TestFileSizeLimit uses ulimit to make the disk fail. Whole packets are kept and the exit status is 1; with --live the
// next file goes on and the status is 3.
func TestFileSizeLimit(t *testing.T) {
	b, err := os.ReadFile(sample("mpeg1.ts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, live := range []bool{false, true} {
		dir := t.TempDir()
		cmd := exec.Command("sh", "-c",
			`ulimit -f 200; exec vw-record "$@" --manifest m.jsonl --ledger l.json cam.ts`, "sh",
			fmt.Sprintf("--live=%v", live))
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b)
		out, _ := cmd.CombinedOutput()
		want := 1
		if live {
			want = 3
		}
		if status := cmd.ProcessState.ExitCode(); status != want || !bytes.Contains(out, []byte("file too large")) {
			t.Errorf("live %v: status %d: %s", live, status, out)
		}
		entries := manifest(t, dir)
		got := joined(t, dir, entries)
		if len(entries) == 0 || entries[0].Reason != record.Error || !bytes.HasPrefix(b, got[:entries[0].Bytes]) {
			t.Errorf("live %v: %+v", live, entries)
		}
		sha256sum(t, dir, entries)
		if s := ledger(t, dir); s.Dropped() == 0 || !live && s.Out[0].Confirmed != int64(len(got)) {
			t.Errorf("live %v: %+v", live, s)
		}
	}
}
