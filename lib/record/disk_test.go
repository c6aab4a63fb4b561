package record

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// faults has one fault for each operation. Each strikes when some files are finished.
var faults = []faultyDisk{
	{op: "create", first: 5, last: 5},
	{op: "write", first: 20, last: 20},
	{op: "write", first: 20, last: 20, short: 1000},
	{op: "write", first: 1, last: 1},
	{op: "write", first: 20, last: 24},
	{op: "sync", first: 3, last: 3},
	{op: "sync", first: 3, last: 5},
	{op: "rename", first: 3, last: 3},
	{op: "syncfolder", first: 5, last: 5},
	{op: "close", first: 3, last: 3},
}

// TestFaultEndsLossless: without live a failing disk is an error, and finished files stay whole.
func TestFaultEndsLossless(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3}, 100)
	for i := range faults {
		f := &faultyDisk{op: faults[i].op, first: faults[i].first, last: faults[i].last, short: faults[i].short,
			err: errFault}
		t.Run(fmt.Sprintf("%s/%d", f.op, i), func(t *testing.T) {
			tr := newTrial(t, sized{bytes.NewReader(b), 2000}, Limits{RotateFrames: 5})
			tr.disk = f
			if err := tr.run(); !errors.Is(err, errFault) {
				t.Fatalf("error %v", err)
			}
			c := tr.counts()
			var recorded int64
			for _, f := range tr.files() {
				recorded += f.Bytes - f.Injected
				if !bytes.Contains(b, f.data) {
					t.Errorf("%s is no part of the stream", f.File)
				}
			}
			if c.Confirmed > recorded || c.Confirmed == int64(len(b)) {
				t.Errorf("confirmed %d, recorded %d", c.Confirmed, recorded)
			}
		})
	}
}

// TestFaultIsOutlived: with live the ledger counts what could not be recorded, and the next file begins with a
// keyframe.
func TestFaultIsOutlived(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3}, 500)
	for i := range faults {
		f := &faultyDisk{op: faults[i].op, first: faults[i].first, last: faults[i].last, short: faults[i].short,
			err: errFault}
		if f.op == "create" {
			f.last += 2
		}
		t.Run(fmt.Sprintf("%s/%d", f.op, i), func(t *testing.T) {
			tr := newTrial(t, sized{bytes.NewReader(b), 2000}, Limits{RotateFrames: 5})
			tr.disk, tr.config.Live = f, true
			if err := tr.run(); err != nil {
				t.Fatal(err)
			}
			c := tr.counts()
			files := tr.files()
			var recorded, dropped int64
			end := 0 // of the file before, as a position in the stream
			for _, f := range files {
				recorded += f.Bytes - f.Injected
				dropped += f.Dropped
				start := bytes.Index(b, f.data[f.Injected:])
				if start < end || start > end && f.Gaps == 0 && f.Reason != Partial {
					t.Errorf("%s follows byte %d of the stream and begins at %d, and the manifest says %d gaps",
						f.File, end, start, f.Gaps)
				}
				end = start + int(f.Bytes-f.Injected)
				if !f.StartsAtKeyframe && f.Reason != Partial {
					t.Errorf("%s does not start at a keyframe", f.File)
				}
			}
			// A file that was written but not confirmed counts as lost, and may exist all the same.
			if c.Confirmed > recorded || c.Confirmed+c.Dropped.Sum() != int64(len(b)) || dropped != c.Dropped.Sum() {
				t.Errorf("recorded %d, dropped %d, %+v", recorded, dropped, c)
			}
			if f.op == "create" && c.Dropped.Sum() != 0 {
				t.Errorf("a delivery in hand was dropped: %+v", c)
			}
			if last := files[len(files)-1]; !bytes.HasSuffix(b, last.data) {
				t.Error("the last file does not end as the stream")
			}
			if f.op != "close" && tr.log.String() == "" {
				t.Error("nothing was said")
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestQuota: an exhausted quota costs the oldest files, one for each try, and nothing of the stream. An error that more
// room does not cure costs no file.
func TestQuota(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3}, 100)
	const files = 20
	for err, lost := range map[error]int{syscall.EDQUOT: 2, syscall.EIO: 0} {
		tr := newTrial(t, sized{bytes.NewReader(b), 2000}, Limits{RotateFrames: 5})
		tr.disk = &faultyDisk{op: "write", first: 10, last: 11, short: 100, err: err}
		tr.config.Live, tr.config.Keep.Files = true, 1000
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		left, _ := tr.config.Template.finished()
		var oldest []byte
		if len(left) > 0 {
			oldest, _ = os.ReadFile(left[0].path)
		}
		if i := bytes.Index(b, oldest); len(oldest) == 0 || i != lost*len(b)/files {
			t.Errorf("%v: %d files, the oldest begins at byte %d", err, len(left), i)
		}
		if c := tr.counts(); (c.Dropped.Sum() > 0) != (err == syscall.EIO) {
			t.Errorf("%v: %+v", err, c)
		}
	}
}

// TestCannotStart: an error that cannot pass is one at start, also with live.
func TestCannotStart(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, live := range []bool{false, true} {
		tr := newTrial(t, bytes.NewReader(nil), Limits{})
		tr.config.Live = live
		tr.config.Template = mustTemplate(t, filepath.Join(blocked, "x.ts"))
		if _, err := New(tr.config); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("a folder that is a file: %v", err)
		}
		tr.config.Template = mustTemplate(t, filepath.Join(tr.dir, "x.ts"))
		tr.config.Manifest = tr.dir
		if _, err := New(tr.config); !errors.Is(err, syscall.EISDIR) {
			t.Errorf("a manifest that is a folder: %v", err)
		}
		tr.config.Manifest = ""
		if _, err := newRecording(tr.config, &faultyDisk{op: "create", first: 1, last: 1,
			err: syscall.EROFS}); !errors.Is(err, syscall.EROFS) {
			t.Errorf("a file system that is read-only: %v", err)
		}
	}
}

// TestRename: neither way of renaming replaces a file.
func TestRename(t *testing.T) {
	for name, rename := range map[string]func(string, string) error{"rename": osDisk{}.Rename, "link": linkNoReplace} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		write := func(path, text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(from, "new")
		write(to, "old")
		if err := rename(from, to); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(to); string(b) != "old" {
			t.Errorf("%s replaced a file", name)
		}
		if err := rename(from, to+"2"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(from); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s left the old name", name)
		}
	}
}

// TestNoFileIsReplaced: existing files keep their names, and new ones get the next free number.
func TestNoFileIsReplaced(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 2}, 10)
	tr := newTrial(t, bytes.NewReader(b), Limits{RotateFrames: 2})
	tr.config.Manifest = filepath.Join(t.TempDir(), "manifest.jsonl")
	for _, name := range []string{"cam.ts", "cam_002.ts"} {
		if err := os.WriteFile(filepath.Join(tr.dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if b, err := os.ReadFile(filepath.Join(tr.dir, name)); string(b) != name {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}()
	}
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(tr.config.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cam_001.ts", "cam_003.ts", "cam_004.ts", "cam_005.ts", "cam_006.ts"} {
		before, after, ok := bytes.Cut(lines, []byte(name))
		if !ok || bytes.Contains(before, []byte("\n")) {
			t.Errorf("%s is not next in the manifest", name)
		}
		_, lines, _ = bytes.Cut(after, []byte("\n"))
	}
}

// forgetfulDisk fails to sync a folder once, and does to the file that was renamed last what a disk then may do.
type forgetfulDisk struct {
	osDisk
	forget       func(from, to string) error
	from, to     string
	calls, fails int
}

func (d *forgetfulDisk) Rename(from, to string) error {
	d.from, d.to = from, to
	return d.osDisk.Rename(from, to)
}

func (d *forgetfulDisk) SyncDir(path string) error {
	if d.calls++; d.calls != d.fails {
		return d.osDisk.SyncDir(path)
	}
	return errors.Join(syscall.EIO, d.forget(d.from, d.to))
}

// TestFolderNotSynced: a file whose name the disk may forget has no line until the folder is synced. So the manifest
// never lists a file that is not there, or one name for two files, and each file that is there has a line.
func TestFolderNotSynced(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 60)
	for name, c := range map[string]struct {
		forget   func(from, to string) error
		partials int
	}{
		"it forgets nothing":       {func(string, string) error { return nil }, 0},
		"it forgets the name":      {func(from, to string) error { return os.Rename(to, from) }, 1},
		"it forgets the file":      {func(_, to string) error { return os.Remove(to) }, 0},
		"another file is so named": {func(_, to string) error { return os.WriteFile(to, nil, 0o600) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 5})
			tr.config.Live = true
			tr.disk = &forgetfulDisk{forget: c.forget, fails: 3} // the first file syncs two folders
			if err := tr.run(); err != nil {
				t.Fatal(err)
			}
			if name == "another file is so named" {
				_ = os.Remove(filepath.Join(tr.dir, "cam_001.ts"))
			}
			files := tr.files()
			lines := make(map[string]int)
			for _, f := range files {
				lines[f.File]++
			}
			if n := lines["cam_001.ts"]; n > 1 || n == 0 && name == "it forgets nothing" {
				t.Errorf("%d lines of the second file: %v", n, lines)
			}
			if got := reasons(files); strings.Count(got, "partial") != c.partials {
				t.Errorf("%s\n%s", got, tr.log)
			}
			if c := tr.counts(); c.Dropped.Lost == 0 || c.Confirmed == 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}
