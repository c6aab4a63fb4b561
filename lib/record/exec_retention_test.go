package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// states returns for each file of a manifest what its last line says of the command.
func states(t *testing.T, path string) map[string]ExecState {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	states := make(map[string]ExecState)
	for line := range bytes.Lines(b) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Exec != "" {
			states[e.File] = e.Exec
		}
	}
	return states
}

// count returns how many files have a state.
func count(states map[string]ExecState, want ExecState) (n int) {
	for _, state := range states {
		if state == want {
			n++
		}
	}
	return n
}

// TestRetentionWaitsForExec: a file whose command fails stays whatever the rules say, and the next run tries it again.
func TestRetentionWaitsForExec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const files = 100
		b := tsgen.Frames(tsgen.Options{GOP: 1}, files)
		tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
		tr.config.Exec, tr.config.Keep.Files = "fails", 2
		r := tr.open()
		noMinFree(r)
		r.finalizer.hook.run = func(context.Context, *execution) error { return errFault }
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		if got := len(tr.files()); got != files || tr.counts().Uncarried != 0 {
			t.Errorf("%d files are left", got)
		}
		if s := states(t, tr.config.Manifest); count(s, Todo) != files {
			t.Errorf("%v", s)
		}
		again := newTrialIn(t, tr.dir, bytes.NewReader(nil), Limits{})
		again.config.Exec, again.config.Keep.Files, again.config.Linger = "works", 2, time.Hour
		r = again.open()
		noMinFree(r)
		var order []string
		r.finalizer.hook.run = func(_ context.Context, e *execution) error {
			order = append(order, filepath.Base(e.path))
			return nil
		}
		if err := again.run(); err != nil {
			t.Fatal(err)
		}
		if left := again.names(); len(order) != files || left != "cam_098.ts cam_099.ts" || order[0] != "cam.ts" {
			t.Errorf("the command ran for %v; left %s", order, left)
		}
	})
}

// noMinFree gives a recording a disk with much room.
func noMinFree(r *Recording) {
	r.writer.archive.free = func(string) (int64, int64, error) { return 1 << 40, 1 << 40, nil }
}

// TestOlderFilesAreNotCarried: the command does not run for files whose lines say nothing of one.
func TestOlderFilesAreNotCarried(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 1}, 5)
	tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	again := newTrialIn(t, tr.dir, bytes.NewReader(nil), Limits{})
	again.config.Exec = "exit 1"
	if err := again.run(); err != nil || again.log.String() != "" {
		t.Errorf("%v, %s", err, again.log)
	}
}

// TestUncarriedIsAnnounced: where the disk has too little free, files go whose command has not succeeded, carried ones
// first, and the log, the manifest and the ledger say which.
func TestUncarriedIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tsgen.Frames(tsgen.Options{GOP: 1}, 10)
		tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
		var log syncBuffer
		tr.config.Log = logTo(&log)
		tr.config.Exec, tr.config.Keep.Files = "odd", 100
		r := tr.open()
		r.writer.archive.free = func(string) (int64, int64, error) {
			// so that five are lacking, by 5 %, when all are there
			return 6 - int64(len(r.writer.archive.files)), 100, nil
		}
		tried := make(map[string]int)
		r.finalizer.hook.run = func(_ context.Context, e *execution) error {
			tried[e.path]++
			return errFault
		}
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		c := tr.counts()
		if c.Uncarried == 0 || tr.config.Ledger.Snapshot(true).Uncarried() != c.Uncarried || c.Dropped.Sum() != 0 {
			t.Errorf("%+v %+v", c, c.Recorded)
		}
		if n := count(states(t, tr.config.Manifest), Lost); int64(n) != c.Uncarried {
			t.Errorf("%d files are lost, and the manifest has %d", c.Uncarried, n)
		}
		if n := strings.Count(log.String(),
			"file deleted before the command of --exec had succeeded"); int64(n) != c.Uncarried {
			t.Errorf("%d files are lost, and the log has %d", c.Uncarried, n)
		}
	})
}

// TestDeletedWhileItsCommandRuns: a file that had to be deleted while its command was running is carried if that ends
// well, and lost if not: in the manifest, the log, the ledger and so in the exit status.
func TestDeletedWhileItsCommandRuns(t *testing.T) {
	for name, c := range map[string]struct {
		err       error
		want      ExecState
		uncarried int64
	}{
		"it succeeds": {nil, Done, 0}, "it fails": {errFault, Lost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := tsgen.Frames(tsgen.Options{GOP: 1}, 3)
				tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
				var log syncBuffer
				tr.config.Log = logTo(&log)
				tr.config.Exec, tr.config.Keep.Files, tr.config.Linger = "slow", 100, time.Hour
				tr.config.ExecJobs = 2 // the others are done meanwhile, and deleted first
				r := tr.open()
				noMinFree(r)
				r.finalizer.hook.run = func(_ context.Context, e *execution) error {
					if filepath.Base(e.path) != "cam.ts" {
						return nil
					}
					time.Sleep(time.Minute)
					for range 2 { // as a disk that is full does
						if !r.writer.archive.makeRoom() {
							t.Error("nothing is deleted")
						}
					}
					time.Sleep(time.Minute)
					return c.err
				}
				if err := tr.run(); err != nil {
					t.Fatal(err)
				}
				s := states(t, tr.config.Manifest)
				counts := tr.counts()
				announced := int64(strings.Count(log.String(), "before the command of --exec had succeeded"))
				if s["cam.ts"] != c.want || counts.Uncarried != c.uncarried || announced != c.uncarried {
					t.Errorf("the manifest says %q, the ledger %d, the log %s", s["cam.ts"], counts.Uncarried,
						log.String())
				}
				if left := tr.names(); left != "cam_002.ts" {
					t.Errorf("left %s", left)
				}
			})
		})
	}
}

// TestBadFileBlocksNoOther: commands run for other files while one fails again and again, so many at once as was asked
// for.
func TestBadFileBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tsgen.Frames(tsgen.Options{GOP: 1}, 30)
		tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
		tr.config.Exec, tr.config.ExecJobs, tr.config.Linger = "x", 3, time.Minute
		r := tr.open()
		var mu sync.Mutex
		running, most, tries := 0, 0, 0
		r.finalizer.hook.run = func(_ context.Context, e *execution) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			running--
			if strings.HasSuffix(e.path, "cam.ts") {
				tries++
				return errFault
			}
			return nil
		}
		began := time.Now()
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		s := states(t, tr.config.Manifest)
		if s["cam.ts"] != Todo || count(s, Done) != 29 || most != 3 || tries < 3 {
			t.Errorf("%v; at most %d at once, the bad one %d times", s, most, tries)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// TestExecTimeout: a command that takes too long is killed with its children, and is tried again.
func TestExecTimeout(t *testing.T) {
	t.Parallel()
	tr, out := newHookTrial(t, 5, `echo x >>$OUT; test $(wc -l <$OUT) -gt 1 || { sleep 1000 & sleep 1000; }`)
	tr.config.ExecTimeout, tr.config.Linger = 2*time.Second, time.Minute
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(out); len(b) < 4 || !strings.Contains(tr.log.String(), "failed") {
		t.Errorf("%q %s", b, tr.log)
	}
	if s := states(t, tr.config.Manifest); count(s, Done) != 1 {
		t.Errorf("%v", s)
	}
}

// TestExecMovesFilesAway: playlist and manifest follow a command that moves files.
func TestExecMovesFilesAway(t *testing.T) {
	t.Parallel()
	tr, _ := newHookTrial(t, 200, `mv "$VW_FILE" "$OUT.${VW_FILE##*/}"`)
	tr.config.Playlist = filepath.Join(t.TempDir(), "p.m3u8")
	tr.config.Linger = time.Minute
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(tr.config.Manifest); err != nil || bytes.Count(b, []byte("\n")) > minStale {
		t.Errorf("lines of files that are gone are left (%v): %s", err, b)
	}
	if got := shape(t, tr.config.Playlist); strings.Contains(got, "cam") || !strings.HasSuffix(got, ".") {
		t.Errorf("the playlist is %s", got)
	}
}

// TestDayOfExec simulates 24 hours in which the command fails and succeeds at random, with retention on and a disk that
// is too small now and then: each file is carried away or announced as lost, and the ledger balances.
func TestDayOfExec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDay(t)
		if err := d.tr.run(); err != nil {
			t.Fatal(err)
		}
		c := d.tr.counts()
		s := states(t, d.tr.config.Manifest)
		lost := make(map[string]bool)
		for line := range strings.Lines(d.log.String()) {
			if _, file, ok := strings.Cut(line, "had succeeded\" file="); ok {
				lost[strings.TrimSpace(file)] = true
			}
		}
		left := strings.Fields(d.tr.names())
		uncarried := 0
		for _, name := range d.made {
			path := filepath.Join(d.tr.dir, name)
			isThere := slices.Contains(left, name)
			switch {
			case d.carried[name] && s[name] != Lost && !lost[path] && (s[name] == Done || !isThere):
			case !isThere && lost[path] && s[name] == Lost:
				uncarried++
			case isThere && s[name] == Todo:
			default:
				t.Errorf("%s: there %v, carried %v, announced %v, state %q", name, isThere, d.carried[name], lost[path],
					s[name])
			}
		}
		t.Logf("%d files, %d carried in %d tries, %d lost, %d left", len(d.made), len(d.carried), d.tries, uncarried,
			len(left))
		if len(d.made) != int(c.Segments) || uncarried == 0 || int64(uncarried) != c.Uncarried || len(d.carried) < 200 {
			t.Errorf("%d files made, %d lost; %+v", len(d.made), uncarried, c.Recorded)
		}
		if c.Dropped.Sum() != 0 || !c.Balances() {
			t.Errorf("%+v", c)
		}
	})
}

// day is a recording of 24 hours.
type day struct {
	tr      *trial
	log     syncBuffer
	mu      sync.Mutex
	made    []string // all files in order, as their command or the archive has seen them
	carried map[string]bool
	tries   int
}

func newDay(t *testing.T) *day {
	d := &day{carried: make(map[string]bool)}
	g := tsgen.New(tsgen.Options{GOP: 1})
	began := time.Now()
	d.tr = newTrial(t, readerFunc(func(p []byte) (int, error) {
		if time.Since(began) >= 24*time.Hour {
			return 0, io.EOF
		}
		time.Sleep(10 * time.Second)
		return copy(p, g.Frame(nil)), nil
	}), Limits{RotateFrames: 30})
	d.tr.config.Log = logTo(&d.log)
	d.tr.config.Format = stream.TS
	d.tr.config.Exec, d.tr.config.ExecJobs = "x", 2
	d.tr.config.Keep = Retention{Files: 10, MinFree: 1 << 30}
	r := d.tr.open()
	a, h := r.writer.archive, r.finalizer.hook
	a.free = func(string) (int64, int64, error) {
		// For ten minutes every six hours there is room for five files only: when the network has been down for a
		// while.
		if minute := time.Since(began) % (6 * time.Hour) / time.Minute; minute < 50 || minute >= 60 {
			return 2 << 30, 4 << 30, nil
		}
		var over int64
		for _, f := range a.files[:max(0, len(a.files)-5)] {
			over += f.size
		}
		return 1<<30 - over, 4 << 30, nil
	}
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 1))
	h.run = func(ctx context.Context, e *execution) error {
		d.mu.Lock()
		d.tries++
		pause := time.Duration(rnd.Int64N(int64(2 * time.Minute)))
		// The network is down for the first of each two hours.
		fails := rnd.IntN(3) == 0 || time.Since(began)%(2*time.Hour) < time.Hour
		hasOpened := rnd.IntN(2) == 0 // and can read the file also when that is deleted
		d.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		if fails {
			return errors.New("no route to host")
		}
		if _, err := os.Stat(e.path); err != nil && !hasOpened {
			return fmt.Errorf("it was deleted meanwhile: %w", err)
		}
		d.mu.Lock()
		d.carried[filepath.Base(e.path)] = true
		d.mu.Unlock()
		return nil
	}
	for i := range 24 * 12 {
		d.made = append(d.made, filepath.Base(numbered("cam.ts", i)))
	}
	return d
}

// TestExecStateSurvives: a crash between a line and the next loses no command: what the manifest says is tried again.
func TestExecStateSurvives(t *testing.T) {
	began := time.Now()
	b := tsgen.Frames(tsgen.Options{GOP: 1}, 3)
	tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
	tr.config.Exec = "exit 1"
	tr.config.Linger = time.Nanosecond // for commands only: nothing asks the recording to end
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(tr.config.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range all {
		if err := os.WriteFile(tr.config.Manifest, all[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		// Not younger than the files: they would be taken for such as were never meant to be in it.
		if err := os.Chtimes(tr.config.Manifest, time.Time{}, began); err != nil {
			t.Fatal(err)
		}
		again := newTrialIn(t, tr.dir, bytes.NewReader(nil), Limits{})
		again.config.Exec, again.config.Linger = "x", time.Minute
		carried := make(map[string]bool)
		r := again.open()
		r.finalizer.hook.run = func(_ context.Context, e *execution) error {
			carried[filepath.Base(e.path)] = true
			return nil
		}
		if err := again.run(); err != nil {
			t.Fatal(err)
		}
		l, _ := readAll(t, again.config.Manifest)
		for _, e := range l.entries {
			if !carried[e.File] || e.Exec != Done {
				t.Fatalf("cut at %d: %s is listed and not carried: %s", cut, e.File, all[:cut])
			}
		}
		if len(carried) != 3 {
			t.Fatalf("cut at %d: %v, log %v", cut, carried, again.log)
		}
	}
}
