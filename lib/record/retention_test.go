package record

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// names lists the finished files of a trial, without the manifest.
func (tr *trial) names() string {
	tr.t.Helper()
	files, err := tr.config.Template.finished()
	if err != nil {
		tr.t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.relative)
	}
	return strings.Join(names, " ")
}

// TestTemplateMatches: a template recognises the names that it makes, and no others.
func TestTemplateMatches(t *testing.T) {
	at := time.Date(2024, 2, 3, 14, 5, 6, 789, time.UTC)
	for _, text := range []string{
		"cam.ts", "cam", "cam-%Y%m%dT%H%M%SZ.ts", "%Y/%m/%d/%H%M%S.ts", "%A %B %e %I%p.%j.ts", "%s.ts", "%F_%T.ts",
		"%-d.%-m.ts",
		"100%%.ts", "%Y.d/x", "%L%f%N.ts", "%c.ts", "%a%b%y%U%V%G%u%w.ts",
	} {
		template := mustTemplate(t, "rec/"+text)
		for _, when := range []time.Time{at, time.Unix(0, 0), at.AddDate(0, 9, 20), at.AddDate(2, 3, 4)} {
			path := template.Path(when)
			for _, name := range []string{path, numbered(path, 1), numbered(path, 12345), partialName(path),
				numbered(partialName(path), 2)} {
				if relative := template.relative(name); !template.matches(relative) {
					t.Errorf("%s does not know %s", text, relative)
				}
			}
		}
	}
	for _, tc := range []struct{ template, name string }{
		{"cam-%Y.ts", "cam-20245.ts"}, {"cam-%Y.ts", "cam-2024.ts.bak"}, {"cam-%Y.ts", "xcam-2024.ts"},
		{"cam-%Y.ts", "cam2-2024.ts"},
		{"cam-%Y.ts", "cam-2024_1.ts"}, {"cam-%Y.ts", "cam-2024-copy.ts"}, {"cam.ts", "camXts"},
		{"%Y/x.ts", "2024x.ts"}, {"%H.ts", "ab.ts"},
	} {
		if mustTemplate(t, tc.template).matches(tc.name) {
			t.Errorf("%s takes %s for its own", tc.template, tc.name)
		}
	}
}

// TestRetention: each rule deletes the oldest files by the order of recording, whatever names and clocks say.
func TestRetention(t *testing.T) {
	// 10 groups of 40 packets: two blocks each
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 30, FramePackets: 2}, 50)
	const onDisk = 8192
	for name, tc := range map[string]struct {
		keep   Retention
		adjust func(*archive)
		want   string
	}{
		"none":              {Retention{}, nil, "old.1 old.2 cam 1 2 3 4 5 6 7 8 9"},
		"files":             {Retention{Files: 3}, nil, "7 8 9"},
		"one file":          {Retention{Files: 1}, nil, "9"},
		"more than all":     {Retention{Files: 100}, nil, "old.1 old.2 cam 1 2 3 4 5 6 7 8 9"},
		"size":              {Retention{Size: 4*onDisk + 1}, nil, "6 7 8 9"},
		"less than one":     {Retention{Size: 1}, nil, "9"},
		"age of older runs": {Retention{Age: time.Hour}, nil, "cam 1 2 3 4 5 6 7 8 9"},
		"no clock": {Retention{Age: time.Hour},
			func(a *archive) { a.synchronised = func() bool { return false } }, "old.1 old.2 cam 1 2 3 4 5 6 7 8 9"},
		"young enough": {Retention{Age: 100 * time.Hour}, nil, "old.1 old.2 cam 1 2 3 4 5 6 7 8 9"},
		"free": {Retention{MinFree: 1 << 20}, func(a *archive) {
			a.free = func(string) (int64, int64, error) {
				return 1<<20 - onDisk - int64(len(a.files)-6)*onDisk, 0, nil
			}
		}, "5 6 7 8 9"},
	} {
		for _, listed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", name, listed), func(t *testing.T) {
				tr := newTrial(t, sized{bytes.NewReader(b), 2000}, Limits{RotateFrames: 5})
				twoDaysAgo := time.Now().AddDate(0, 0, -2)
				var lines string
				for i := range 2 {
					path := filepath.Join(tr.dir, fmt.Sprintf("cam.partial_00%d.ts", i+1))
					if err := os.WriteFile(path, make([]byte, 5000), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Chtimes(path, time.Time{}, twoDaysAgo.Add(time.Duration(i)*time.Minute)); err != nil {
						t.Fatal(err)
					}
					lines += fmt.Sprintf("{\"file\":%q,\"end\":%q}\n", filepath.Base(path),
						twoDaysAgo.UTC().Format(time.RFC3339Nano))
				}
				if err := os.WriteFile(tr.config.Manifest, []byte(lines), 0o600); err != nil {
					t.Fatal(err)
				}
				others := filepath.Join(tr.dir, "somebody.ts")
				if err := os.WriteFile(others, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				manifest := tr.config.Manifest
				if !listed {
					tr.config.Manifest = ""
				}
				tr.config.Keep = tc.keep
				r := tr.open()
				r.writer.archive.synchronised = func() bool { return true }
				if tc.adjust != nil {
					tc.adjust(r.writer.archive)
				}
				if err := tr.run(); err != nil {
					t.Fatal(err)
				}
				got := strings.NewReplacer("cam.partial_00", "old.", "cam_00", "", ".ts", "").Replace(tr.names())
				if got != tc.want {
					t.Errorf("kept %s, want %s; %s", got, tc.want, tr.log)
				}
				if _, err := os.Stat(others); err != nil {
					t.Errorf("somebody else's file: %v", err)
				}
				if b, err := os.ReadFile(manifest); err != nil || bytes.Count(b, []byte("\n")) > 10+minStale {
					t.Errorf("manifest: %v, %s", err, b)
				}
				if c := tr.counts(); c.Confirmed != int64(len(b)) || c.Segments != 10 {
					t.Errorf("%+v", c)
				}
			})
		}
	}
}

// TestLinkedFolder: files of earlier runs are found through a symbolic link to the folder.
func TestLinkedFolder(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 50)
	link := filepath.Join(t.TempDir(), "rec")
	for run := range 2 {
		tr := newTrial(t, bytes.NewReader(b), Limits{RotateFrames: 5})
		if run == 0 {
			if err := os.Symlink(tr.dir, link); err != nil {
				t.Fatal(err)
			}
		}
		tr.config.Template, tr.config.Manifest, tr.config.Keep.Files = mustTemplate(t, filepath.Join(link, "cam.ts")),
			"", 3
		if err := os.WriteFile(newTempName(tr.config.Template, tr.config.Template.text, time.Now()).String(), b,
			0o600); err != nil {
			t.Fatal(err)
		}
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		names, err := os.ReadDir(link)
		if err != nil || len(names) != 3 {
			t.Errorf("run %d: %v, %v", run, names, err)
		}
	}
}

// stickyDisk fails to remove some files.
type stickyDisk struct {
	osDisk
	sticky string
}

func (d stickyDisk) Remove(path string) error {
	if strings.HasSuffix(path, d.sticky) {
		return &fs.PathError{Op: "remove", Path: path, Err: syscall.EPERM}
	}
	return d.osDisk.Remove(path)
}

// TestUndeletable: a file that cannot be deleted is logged and passed over; another file with the name stays.
func TestUndeletable(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 50)
	tr := newTrial(t, sized{bytes.NewReader(b), 500}, Limits{RotateFrames: 5})
	tr.disk = stickyDisk{sticky: "cam_001.ts"}
	tr.config.Keep.Files = 3
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if got := tr.names(); got != "cam_001.ts cam_008.ts cam_009.ts" {
		t.Errorf("kept %s", got)
	}
	if !strings.Contains(tr.log.String(), "file not deleted") {
		t.Errorf("said: %s", tr.log)
	}
	a := tr.rec.writer.archive
	theirs := a.files[1].path
	if err := os.Remove(theirs); err != nil {
		t.Fatal(err)
	}
	for range 3 { // so that the inode differs
		if err := os.WriteFile(theirs+"x", []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(theirs+"x", theirs); err != nil {
			t.Fatal(err)
		}
	}
	a.rules.Files = 1
	a.enforce()
	if got, err := os.ReadFile(theirs); err != nil || string(got) != "theirs" {
		t.Errorf("somebody else's file: %q, %v", got, err)
	}
}

// TestClockOfBoard: a file of 1970 is not old. It ages from the start of this run.
func TestClockOfBoard(t *testing.T) {
	tr := newTrial(t, bytes.NewReader(nil), Limits{})
	tr.config.Keep.Age = time.Hour
	a := tr.open().writer.archive
	a.synchronised = func() bool { return true }
	now := a.began
	a.now = func() time.Time { return now }
	if a.isOld(kept{ended: time.Unix(100, 0)}) {
		t.Error("a file of 1970 is old at once")
	}
	now = now.Add(2 * time.Hour)
	if !a.isOld(kept{ended: time.Unix(100, 0)}) {
		t.Error("a file of 1970 never gets old")
	}
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
}

// TestFileFromTheFuture: a file that an earlier run made while its clock was a year ahead does not keep the younger
// ones for a year.
func TestFileFromTheFuture(t *testing.T) {
	tr := newTrial(t, bytes.NewReader(nil), Limits{})
	tr.config.Keep.Age = time.Hour
	a := tr.open().writer.archive
	a.synchronised = func() bool { return true }
	now := a.began
	a.now = func() time.Time { return now }
	for i, ended := range []time.Time{now.AddDate(1, 0, 0), now.Add(-30 * time.Minute), now} {
		path := numbered(filepath.Join(tr.dir, "cam.ts"), i)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		a.add(kept{path: path, ended: ended.Round(0)})
	}
	a.enforce()
	if got := tr.names(); got != "cam.ts cam_001.ts cam_002.ts" {
		t.Errorf("left at once: %s", got)
	}
	now = now.Add(61 * time.Minute)
	if a.enforce(); tr.names() != "cam_002.ts" {
		t.Errorf("left after an hour: %s", tr.names())
	}
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
}

// TestManifestIsBounded: the lines of deleted files go, those of other files stay.
func TestManifestIsBounded(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 1}, 400)
	tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 1})
	const others = `{"file":"somebody.ts","end":"2024-01-01T00:00:00Z"}` + "\n"
	if err := os.WriteFile(tr.config.Manifest, []byte(others), 0o640); err != nil {
		t.Fatal(err)
	}
	tr.config.Keep.Files = 8
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	m, err := os.ReadFile(tr.config.Manifest)
	if n := bytes.Count(m, []byte("\n")); err != nil || n < 9 || n > 9+minStale || !bytes.HasPrefix(m, []byte(others)) {
		t.Errorf("%d lines, %v: %s", n, err, m)
	}
	if info, err := os.Stat(tr.config.Manifest); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	lines := bytes.SplitAfter(bytes.TrimSpace(m), []byte("\n"))
	for i, name := range strings.Fields(tr.names()) {
		if line := lines[len(lines)-8+i]; !bytes.Contains(line, []byte(`"`+name+`"`)) {
			t.Errorf("%s is not %d-th: %s", name, i, line)
		}
	}
	// Where a name was used again, the first of its lines goes.
	list := &manifest{path: filepath.Join(t.TempDir(), "m"), deleted: make(map[string]int)}
	for i := range minStale + 1 {
		if err := list.add(Entry{File: fmt.Sprint(i % minStale), Bytes: int64(i)}); err != nil {
			t.Fatal(err)
		}
		list.markDeleted(fmt.Sprint(i))
	}
	if err := list.compact(); err != nil {
		t.Fatal(err)
	}
	if left, err := list.load(); err != nil || len(left.entries) != 1 ||
		left.entries[0].File != "0" || left.entries[0].Bytes != minStale {
		t.Errorf("%+v, %v", left, err)
	}
	// Free names are used again, and their lines are not mistaken for the old ones.
	again := newTrialIn(t, tr.dir, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 20})
	again.config.Keep.Files = 100
	if err := again.run(); err != nil {
		t.Fatal(err)
	}
	m, err = os.ReadFile(tr.config.Manifest)
	for _, name := range strings.Fields(again.names()) {
		if n := bytes.Count(m, []byte(`"`+name+`"`)); err != nil || n != 1 {
			t.Errorf("%d lines of %s, %v", n, name, err)
		}
	}
}

// TestLineLostInCrash: a file that got its name but no line gets one at the next start. Files that never belonged into
// the manifest do not.
func TestLineLostInCrash(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 20)
	for lost := 1; lost <= 4; lost++ {
		tr := newTrial(t, sized{bytes.NewReader(b), 500}, Limits{RotateFrames: 5})
		tr.open()
		older := filepath.Join(tr.dir, "cam_777.ts")
		if err := os.WriteFile(older, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(older, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		m, err := os.ReadFile(tr.config.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(m, []byte("\n"))
		left := bytes.Join(lines[:4-lost], nil)
		if err := os.WriteFile(tr.config.Manifest, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if lost == 4 { // then the manifest says how old it is
			if err := os.Chtimes(tr.config.Manifest, time.Time{}, time.Now().Add(-time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		next := newTrialIn(t, tr.dir, bytes.NewReader(b), Limits{})
		if err := next.run(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(older); err != nil {
			t.Fatal(err)
		}
		files := next.files()
		if len(files) != 5 || !bytes.Equal(joined(files[:4]), b) {
			t.Fatalf("lost %d: %s", lost, reasons(files))
		}
		for _, f := range files[4-lost : 4] {
			if f.Reason != Partial || f.Frames != 5 || !f.StartsAtKeyframe || f.Packets != 11 || f.Start.After(f.End) {
				t.Errorf("lost %d: %+v", lost, f.Entry)
			}
		}
	}
}

// TestFolderRemoved: recording into a removed folder is noticed with the next second's data.
func TestFolderRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, live := range []bool{true, false} {
			g := tsgen.New(tsgen.Options{GOP: 5})
			var tr *trial
			var folder string
			n, noticed := 0, 0
			tr = newTrial(t, readerFunc(func(p []byte) (int, error) {
				switch n++; {
				case n == 50:
					testwait.Eventually(t, "a file is open", func() bool { return len(hidden(folder)) == 1 })
					if err := os.RemoveAll(folder); err != nil {
						t.Error(err)
					}
				case noticed == 0 && tr.counts().Dropped.Lost > 0:
					noticed = n
				case noticed > 0 && n > noticed+20, n > 500:
					return 0, fs.ErrClosed
				}
				time.Sleep(10 * time.Millisecond)
				return copy(p, g.Frame(nil)), nil
			}), Limits{})
			folder = filepath.Join(tr.dir, "sub")
			tr.config.Template = mustTemplate(t, filepath.Join(folder, "cam.ts"))
			tr.config.Live = live
			err := tr.run()
			if err == nil || !live && !strings.Contains(err.Error(), "the file is gone") {
				t.Errorf("live %v: %v", live, err)
			}
			if took := n; took > 400 {
				t.Errorf("live %v: noticed after %d frames of 10 ms", live, took)
			}
			c := tr.counts()
			if live && (len(tr.files()) != 1 || c.Confirmed == 0 || c.Dropped.Lost < 50*mpegts.PacketSize) {
				t.Errorf("live: %+v", c)
			}
			if !live && (c.Confirmed != 0 || c.Dropped.Lost == 0) {
				t.Errorf("%+v", c)
			}
		}
	})
}

// TestClockGoesBack: when the wall clock is set back by an hour, names come again. No file is overwritten, and manifest
// and retention keep the order of recording.
func TestClockGoesBack(t *testing.T) {
	var at time.Time
	tr := newTrial(t, bytes.NewReader(nil), Limits{RotateFrames: 1})
	tr.config.Template = mustTemplate(t, filepath.Join(tr.dir, "cam-%H%M%S.ts"))
	tr.config.Keep.Files = 4
	w := tr.open().writer
	w.finalizer.start(func(error) {})
	g := tsgen.New(tsgen.Options{GOP: 1})
	for i := range 8 {
		at = time.Date(2024, 1, 1, 12, 0, i%4, 0, time.UTC)
		if i == 2 {
			at = at.Add(-12 * time.Hour)
		}
		frame := g.Frame(nil)
		p := stream.Delivery{Data: frame, Size: len(frame), ReceivedAt: at, Kind: stream.Packets, RandomAccess: true,
			HasPSI: true}
		if err := w.write(context.Background(), &p); err != nil {
			t.Fatal(err)
		}
	}
	w.finish(End)
	if err := w.finalizer.close(); err != nil {
		t.Fatal(err)
	}
	<-w.finalizer.ended
	l, err := w.finalizer.manifest.load()
	entries := l.entries
	var order []string
	for _, e := range entries {
		order = append(order, strings.TrimSuffix(strings.TrimPrefix(e.File, "cam-"), ".ts"))
	}
	if got, want := strings.Join(order, " "),
		"120000 120001 000002 120003 120000_001 120001_001 120002 120003_001"; err != nil || got != want {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
	files, err := tr.config.Template.finished()
	if err != nil || len(files) != 4 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, e := range entries[4:] {
		if _, err := os.Stat(filepath.Join(tr.dir, e.File)); err != nil {
			t.Errorf("not one of the newest is kept: %v", err)
		}
	}
}
