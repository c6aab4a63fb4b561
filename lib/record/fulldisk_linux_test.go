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
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestFullDisk uses a real full disk. Finished files and the whole packets of the open one stay, and the error names
// the cause.
func TestFullDisk(t *testing.T) {
	dir := mountTmpfs(t, 128<<10)
	b := sample(t, "mpeg1.ts")
	tr := newTrialIn(t, dir, bytes.NewReader(b), Limits{RotateFrames: 12})
	tr.config.Manifest = filepath.Join(t.TempDir(), "manifest.jsonl")
	if err := tr.run(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	files := tr.files()
	if got := joined(files); !bytes.HasPrefix(b, got) || int64(len(got)) != tr.counts().Confirmed ||
		len(got) < 100<<10 {
		t.Errorf("%d bytes are kept, %d confirmed", len(got), tr.counts().Confirmed)
	}
	if last := files[len(files)-1]; last.Reason != Error || last.Bytes%mpegts.PacketSize != 0 {
		t.Errorf("the last file: %+v", last.Entry)
	}
}

// TestFullDiskIsOutlived: with live the recording goes on when there is room again.
func TestFullDiskIsOutlived(t *testing.T) {
	dir := mountTmpfs(t, 64<<10)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 56<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	g := tsgen.New(tsgen.Options{GOP: 5, FramePackets: 2})
	full := true
	sent := 0
	var tr *trial
	tr = newTrialIn(t, dir, readerFunc(func(p []byte) (int, error) {
		switch {
		case full && tr.counts().Dropped.Lost > 0:
			full = false
			if err := os.Remove(ballast); err != nil {
				t.Error(err)
			}
		case !full && tr.counts().Confirmed > 20000, sent > 10<<20:
			return 0, errors.New("enough")
		}
		time.Sleep(100 * time.Microsecond)
		n := copy(p, g.Frame(nil))
		sent += n
		return n, nil
	}), Limits{RotateFrames: 15})
	tr.config.Manifest = filepath.Join(t.TempDir(), "manifest.jsonl")
	tr.config.Live = true
	if err := tr.run(); err == nil || err.Error() != "read: enough" {
		t.Fatal(err)
	}
	for _, f := range tr.files() {
		if !f.StartsAtKeyframe {
			t.Errorf("%+v", f.Entry)
		}
	}
	if c := tr.counts(); c.Confirmed < 20000 || c.Dropped.Lost == 0 {
		t.Errorf("%+v", c)
	}
}

// mountTmpfs mounts a small tmpfs.
func mountTmpfs(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=100", size)); err != nil {
		t.Skipf("SKIPPED: a small file system cannot be mounted (%v)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestStartOnFullDisk: retention makes room for manifest and playlist when the disk is full of blocks or of inodes at
// start.
func TestStartOnFullDisk(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	for _, full := range []string{"blocks", "inodes"} {
		for _, live := range []bool{false, true} {
			dir := mountTmpfs(t, 1<<20)
			record := func() (*trial, error) {
				tr := newTrialIn(t, dir, sized{bytes.NewReader(b), 3000}, Limits{RotateFrames: 12})
				tr.config.Playlist, tr.config.Live, tr.config.Keep.Files = filepath.Join(dir, "p.m3u8"), live, 100
				tr.config.Template = mustTemplate(t, filepath.Join(dir, "rec", "cam.ts"))
				return tr, tr.run()
			}
			if _, err := record(); err != nil {
				t.Fatal(err)
			}
			fill(t, dir, full)
			tr, err := record()
			if c := tr.counts(); err != nil || c.Confirmed != int64(len(b)) {
				t.Errorf("full of %s, live %v: %v, %+v", full, live, err, c)
			}
			if names, err := os.ReadDir(filepath.Join(dir, "rec")); err != nil || len(names) < 8 || len(names) > 12 {
				t.Errorf("full of %s, live %v: %d files, %v", full, live, len(names), err)
			}
		}
	}
}

// fill uses up the blocks or the inodes of a small file system.
func fill(t *testing.T, dir, what string) {
	t.Helper()
	for i := 0; ; i++ {
		name := filepath.Join(dir, fmt.Sprint("ballast", i))
		var data []byte
		if what == "blocks" {
			data = make([]byte, 1<<20)
		}
		if err := os.WriteFile(name, data, 0o600); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestListsOnFullDisk: no recording is deleted to make room on another disk.
func TestListsOnFullDisk(t *testing.T) {
	lists := mountTmpfs(t, 64<<10)
	fill(t, lists, "blocks")
	tr := newTrial(t, bytes.NewReader(sample(t, "mpeg1.ts")), Limits{RotateFrames: 12})
	tr.config.Live, tr.config.Keep.Files = true, 100
	tr.config.Manifest, tr.config.Playlist = filepath.Join(lists, "m.jsonl"), filepath.Join(lists, "p.m3u8")
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if files, err := tr.config.Template.finished(); err != nil || len(files) != 10 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
	if said := tr.log.String(); !strings.Contains(said, "manifest: ") || !strings.Contains(said, "playlist: ") {
		t.Errorf("said: %s", said)
	}
}

// TestFullDiskTakesTheOldest: with retention a full disk costs old files, and no byte of the stream.
func TestFullDiskTakesTheOldest(t *testing.T) {
	for _, live := range []bool{false, true} {
		dir := mountTmpfs(t, 256<<10)
		b := sample(t, "mpeg1.ts")
		tr := newTrialIn(t, dir, sized{bytes.NewReader(b), 3000}, Limits{RotateFrames: 12})
		tr.config.Manifest, tr.config.Keep.Files, tr.config.Live = "", 1000, live
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		if c := tr.counts(); c.Confirmed != int64(len(b)) || c.Dropped.Sum() != 0 {
			t.Errorf("%+v", c)
		}
		files, err := tr.config.Template.finished()
		if err != nil || len(files) < 2 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		var kept []byte
		for _, f := range files {
			data, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, data...)
		}
		if !bytes.HasSuffix(b, kept) {
			t.Errorf("live %v: what is kept is not the end of the stream", live)
		}
	}
}

// TestBurstOnSmallDisk: segments that fill the disk before the first of them is in the manifest cost old files, and no
// byte of the stream.
func TestBurstOnSmallDisk(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 30, FramePackets: 20}, 2000)
	for _, tc := range []struct {
		rotate Limits
		keep   int64
	}{{Limits{RotateSize: 50 << 10}, 5}, {Limits{RotateSize: 100 << 10}, 1000}, {Limits{RotateSize: 200 << 10}, 1},
		{Limits{RotateSize: 20 << 10}, 30}} {
		for range 3 {
			dir := mountTmpfs(t, 1<<20)
			tr := newTrialIn(t, dir, bytes.NewReader(b), tc.rotate)
			tr.config.Keep.Files, tr.config.Playlist = tc.keep, filepath.Join(dir, "p.m3u8")
			if err := tr.run(); err != nil {
				t.Errorf("%+v: %v; %s", tc, err, tr.log)
			}
			if c := tr.counts(); c.Confirmed != int64(len(b)) {
				t.Errorf("%+v: %+v", tc, c)
			}
			l, isDamaged := readAll(t, tr.config.Manifest)
			files, err := tr.config.Template.finished()
			if err != nil || isDamaged || len(files) == 0 {
				t.Errorf("%d files, %v; manifest damaged: %v", len(files), err, isDamaged)
			}
			for _, f := range files {
				if !l.files[f.relative] {
					t.Errorf("%s is not in the manifest", f.relative)
				}
			}
		}
	}
}
