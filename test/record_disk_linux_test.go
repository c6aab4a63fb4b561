package test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// mount mounts a file system of the test's own, or skips the test, aloud.
func mount(t testing.TB, folder, kind string, flags uintptr, options string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount a file system")
	}
	if err := unix.Mount("tmpfs", folder, kind, flags, options); err != nil {
		t.Skipf("SKIPPED: a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
}

// mountExt4 mounts an ext4 of the test's own, which can be frozen.
func mountExt4(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount a file system")
	}
	image := filepath.Join(t.TempDir(), "image")
	folder := t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, folder}} {
		if out, err := exec.Command(tool(t, command[0]), command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: no ext4 of its own: %v: %v\n%s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", folder).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return folder
}

// freeze freezes a file system: what is written to it waits.
func freeze(t testing.TB, folder string) (thaw func()) {
	t.Helper()
	if out, err := exec.Command(tool(t, "fsfreeze"), "--freeze", folder).CombinedOutput(); err != nil {
		t.Fatalf("fsfreeze: %v\n%s", err, out)
	}
	frozen := true
	return func() {
		if frozen {
			frozen = false
			if out, err := exec.Command("fsfreeze", "--unfreeze", folder).CombinedOutput(); err != nil {
				t.Errorf("fsfreeze: %v\n%s", err, out)
			}
		}
	}
}

// longestPause is the longest time between two messages at vw-testserver.
func longestPause(t testing.TB, arrivals string) (longest time.Duration, messages int) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(read(t, arrivals))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	for i, row := range rows[1:] {
		ns, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			longest = max(longest, time.Duration(ns-last))
		}
		last = ns
	}
	return longest, len(rows) - 1
}

// TestFrozenDisk: while the disk hangs, what is pushed arrives as it comes, and all of it; the recorder accounts for
// every byte that it could not keep.
func TestFrozenDisk(t *testing.T) {
	const (
		frames   = 110
		interval = 40 * time.Millisecond
		frozen   = 2500 * time.Millisecond
	)
	// 16 KiB a frame: more than fits the buffer arrives while the disk hangs, and the kernel cannot write it.
	options := tsgen.Options{GOP: 5, KeyPackets: 87, FramePackets: 87}
	for _, with := range []string{"--tee", "tee -p"} {
		t.Run(with, func(t *testing.T) {
			t.Parallel()
			folder := mountExt4(t)
			tool(t, "fsfreeze")
			files, err := os.MkdirTemp(folder, "rec")
			if err != nil {
				t.Fatal(err)
			}
			own := t.TempDir()
			arrivals, manifest, ledger := filepath.Join(own, "arrivals.csv"), filepath.Join(own, "m.jsonl"), filepath.Join(own, "l.json")
			server := serve(t, "--conns", "1", "--arrivals", arrivals)
			in, w := pipe(t)
			record := []string{
				tool(t, "vw-record"), "--live", "--buffer", "300KiB", "--rotate-frames", "10",
				"--manifest", manifest, "--ledger", ledger, filepath.Join(files, "%Y%m%dT%H%M%SZ.ts"),
			}
			push := []string{tool(t, "vw-push"), "--live", server.url}
			var script string
			if with == "--tee" {
				script = strings.Join(append([]string{record[0], "--tee"}, record[1:]...), " ") + " | " + strings.Join(push, " ")
			} else {
				script = "tee -p >(" + strings.Join(record, " ") + ") | " + strings.Join(push, " ")
			}
			p := start(t, wiring{stdin: in}, "bash", "-c", script)
			in.Close()
			sent := feed(t, w, options, frames, interval, nil)
			waitUntil(t, "the first files", func() bool { return len(finished(files)) >= 2 })
			thaw := freeze(t, folder)
			defer thaw() // before the processes are waited for: nothing can kill what waits for a frozen disk
			time.Sleep(frozen)
			thaw()
			all := <-sent
			p.expect(0)
			server.expect(0)
			same(t, "what arrived", server.saved(1), all)
			if pause, messages := longestPause(t, arrivals); pause > frozen/2 || messages < frames/2 { // two may come together
				t.Errorf("%d messages; none for %v while the disk was frozen for %v", messages, pause, frozen)
			}
			// With tee nobody waits for the recorder's end.
			rec := &process{t: t, name: "vw-record", ledger: ledger, stderr: p.stderr}
			waitUntil(t, "the recorder's ledger", func() bool {
				b, _ := os.ReadFile(ledger)
				return bytes.Contains(b, []byte(`"ended"`))
			})
			s := rec.account()
			c := s.Out[0]
			if s.In.Bytes != int64(len(all)) || c.Dropped.Full == 0 || c.Dropped.Full+c.Dropped.Resync != c.Dropped.Sum() {
				t.Errorf("%+v", s)
			}
			r, missing := readRecording(t, files, manifest)
			var dropped int64
			for _, e := range r.entries {
				dropped += e.Dropped
				if !e.StartsAtKeyframe {
					t.Errorf("%+v", e)
				}
			}
			if missing > 0 || int64(len(r.joined)) != c.Confirmed || dropped != c.Dropped.Sum() {
				t.Errorf("%d bytes in files, %d dropped, says the manifest; %+v", len(r.joined), dropped, c)
			}
		})
	}
}

// TestDiskFull: with retention a full disk costs old files; without, under --live, what does not fit; else it is the end.
func TestDiskFull(t *testing.T) {
	b := read(t, sample("mpeg1.ts"))
	for _, tc := range []struct {
		name   string
		flags  []string
		status int
	}{
		{"retention", []string{"--keep-files", "1000"}, 0},
		{"retention live", []string{"--live", "--keep-age", "1h"}, 0},
		{"live", []string{"--live"}, 3},
		{"lossless", nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			mount(t, folder, "tmpfs", 0, "size=256k")
			manifest := filepath.Join(t.TempDir(), "m.jsonl")
			p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-record",
				append(tc.flags, "--rotate-frames", "12", "--manifest", manifest, filepath.Join(folder, "cam.ts"))...)
			p.expect(tc.status)
			r, missing := readRecording(t, folder, manifest)
			s := p.account()
			switch {
			case tc.status == 0 && (s.Out[0].Confirmed != int64(len(b)) || !bytes.HasSuffix(b, r.joined)):
				t.Errorf("%+v", s)
			case tc.status == 1 && (s.Out[0].Confirmed != int64(len(r.joined)) || !bytes.HasPrefix(b, r.joined)):
				t.Errorf("%+v", s)
			case tc.status == 3 && (s.Dropped() == 0 || !strings.Contains(p.stderr.String(), "no space left")):
				t.Errorf("%+v", s)
			}
			if tc.status != 0 && missing != 0 || len(r.entries) < 2 {
				t.Errorf("%d files, %d missing", len(r.entries), missing)
			}
			recorded(t, folder) // and no other file
		})
	}
}

// TestFileSystemGone: the file system goes away, what comes in its place is read-only at first: recording goes on when it
// can be written.
func TestFileSystemGone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	mount(t, folder, "tmpfs", 0, "")
	files := filepath.Join(folder, "rec")
	in, w := pipe(t)
	stop := make(chan struct{})
	p := start(t, wiring{stdin: in}, "vw-record", "--live", "--buffer", "64KiB", "--rotate-frames", "10", filepath.Join(files, "%Y%m%dT%H%M%SZ.ts"))
	in.Close()
	sent := feed(t, w, tsgen.Options{GOP: 5, FramePackets: 10}, 1<<20, 5*time.Millisecond, stop)
	waitUntil(t, "the first files", func() bool { return len(finished(files)) >= 2 })
	if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	mount(t, folder, "tmpfs", unix.MS_RDONLY, "")
	p.find(p.stderr, "read-only file system")
	if err := unix.Mount("", folder, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "files on the new file system", func() bool { return len(finished(files)) >= 2 })
	close(stop)
	all := <-sent
	p.expect(3)
	s := p.account()
	if s.In.Bytes != int64(len(all)) || s.Out[0].Dropped.Lost == 0 || s.Out[0].Confirmed == 0 {
		t.Errorf("%+v", s)
	}
	for _, file := range recorded(t, files) {
		startsWithKeyframe(t, file)
	}
}

// TestNoDescriptors: too many open files is a trouble like any other.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in, w := pipe(t)
	stop := make(chan struct{})
	p := start(t, wiring{stdin: in}, "vw-record", "--live", "--buffer", "64KiB", "--rotate-frames", "10", filepath.Join(folder, "%Y%m%dT%H%M%SZ.ts"))
	in.Close()
	sent := feed(t, w, tsgen.Options{GOP: 5, FramePackets: 10}, 1<<20, 5*time.Millisecond, stop)
	waitUntil(t, "the first files", func() bool { return len(finished(folder)) >= 2 })
	var before unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: 1 << 10}, &before); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skipf("SKIPPED: the limits of a process cannot be changed here: %v", err)
		}
		t.Fatal(err)
	}
	p.find(p.stderr, "too many open files")
	waitUntil(t, "a drop", func() bool { return strings.Contains(p.stderr.String(), "no file to record to") })
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 10, Max: 1 << 10}, nil); err != nil {
		t.Fatal(err)
	}
	n := len(finished(folder))
	waitUntil(t, "more files", func() bool { return len(finished(folder)) >= n+2 })
	close(stop)
	all := <-sent
	if status := p.wait(); status != 0 && status != 3 {
		t.Errorf("status %d", status)
	}
	s := p.account()
	if s.In.Bytes != int64(len(all)) || (s.Dropped() > 0) != (p.cmd.ProcessState.ExitCode() == 3) {
		t.Errorf("%+v", s)
	}
	var inFiles int64
	for _, file := range recorded(t, folder) {
		inFiles += int64(len(read(t, file)))
	}
	if s.Out[0].Confirmed > inFiles {
		t.Errorf("%d bytes in files, %+v", inFiles, s)
	}
}
