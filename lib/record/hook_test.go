package record

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// newHookTrial prepares a recording of files of 5 frames with a command that may write to $OUT.
func newHookTrial(t *testing.T, frames int, command string) (tr *trial, out string) {
	t.Helper()
	b := tsgen.Frames(tsgen.Options{GOP: 5}, frames)
	tr = newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 5})
	out = filepath.Join(t.TempDir(), "out")
	tr.config.Exec = "OUT=" + out + "; " + command
	tr.config.ExecOutput = os.Stderr
	return tr, out
}

// TestExec: the command runs once for each file, in order, one at a time, with the values of the manifest.
func TestExec(t *testing.T) {
	t.Parallel()
	tr, out := newHookTrial(t, 23, `mkdir $OUT.d && cat && test "$(stat -c %s "$VW_FILE")" = $VW_BYTES || exit 1
		echo "$VW_FILE $VW_BYTES $VW_FRAMES $VW_KEYFRAMES $VW_DURATION $VW_REASON $VW_SHA256" \
			"$VW_START $VW_END $VW_DROPPED $VW_GAPS $VW_PACKETS" >>$OUT
		rmdir $OUT.d`)
	left := leaveUnfinished(t, tr.config.Template, time.Now(), false, 0, tsgen.Frames(tsgen.Options{GOP: 5}, 3))
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, f := range tr.files() {
		length := fmt.Sprintf("%d.%06d", f.Frames*40/1000, f.Frames*40%1000*1000)
		fmt.Fprintln(&want, f.path, f.Bytes, f.Frames, f.Keyframes, length, f.Reason, f.SHA256,
			f.Start.Format(time.RFC3339Nano), f.End.Format(time.RFC3339Nano), f.Dropped, f.Gaps, f.Packets)
	}
	got, err := os.ReadFile(out)
	if err != nil || string(got) != want.String() || !strings.Contains(want.String(), "partial") ||
		len(hidden(tr.dir)) != 0 {
		t.Errorf("%v; %s\ngot  %swant %s%s", err, left, got, want.String(), tr.log)
	}
	if tr.log.String() != "" {
		t.Errorf("said %s", tr.log)
	}
}

// TestExecFails: a failing command is logged, and the recording succeeds.
func TestExecFails(t *testing.T) {
	t.Parallel()
	tr, _ := newHookTrial(t, 20, "exit 3")
	tr.config.Manifest = ""
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(tr.log.String(), "the command of --exec failed"); n != 4 {
		t.Errorf("said %s", tr.log)
	}
}

// TestExecTakesTooLong: the recording does not wait for the command. Files beyond its queue are logged. At the end it
// has as long as Linger, and then it is killed with its children.
func TestExecTakesTooLong(t *testing.T) {
	t.Parallel()
	tr, out := newHookTrial(t, 5*(maxQueuedHooks+10), `echo $$ >>$OUT; sleep 1000 & sleep 1000; echo survived >>$OUT`)
	tr.config.Manifest = "" // nothing is tried again then
	tr.config.Linger = 300 * time.Millisecond
	began := time.Now()
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if c := tr.counts(); c.Segments != maxQueuedHooks+10 || c.Dropped.Sum() != 0 {
		t.Errorf("%+v", c)
	}
	said := tr.log.String()
	if !strings.Contains(said, "too slow") || !strings.Contains(said, "no time left") ||
		!strings.Contains(said, "failed") {
		t.Errorf("said %s", said)
	}
	pid, err := os.ReadFile(out)
	if err != nil || bytes.Count(pid, []byte("\n")) != 1 {
		t.Fatalf("%v %s", err, pid)
	}
	group := strings.TrimSpace(string(pid))
	testwait.Eventually(t, "the command and its children are dead", func() bool { return !groupLives(t, group) })
}

// groupLives reports whether a process group has a process that is not a zombie.
func groupLives(t *testing.T, group string) bool {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Skip("SKIPPED: no /proc to see processes in")
	}
	for _, path := range stats {
		b, _ := os.ReadFile(path)
		_, after, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(after); len(f) > 2 && f[2] == group && f[0] != "Z" {
			return true
		}
	}
	return false
}
