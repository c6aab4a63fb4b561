package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// mount mounts a file system for this test, or skips the test.
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

// mountExt4 mounts an ext4 for this test, which can be frozen.
func mountExt4(t testing.TB) (folder string) {
	t.Helper()
	folder, _ = mountImage(t)
	return folder
}

// mountImage mounts an ext4 for this test and returns its image, too. An error makes it read-only. Nothing can be
// written to the folder while it is not mounted.
func mountImage(t testing.TB) (folder, image string) {
	t.Helper()
	below := t.TempDir()
	mount(t, below, "tmpfs", 0, "")
	image, folder = filepath.Join(t.TempDir(), "image"), filepath.Join(below, "disk")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", below, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image},
		{"mount", "-o", "loop,errors=remount-ro", image, folder}} {
		if out, err := exec.Command(tool(t, command[0]), command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: no ext4 of its own: %v: %v\n%s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", folder).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return folder, image
}

// cutPower makes an ext4 forget what it has not written to its device, and fail from then on.
func cutPower(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	return unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush)
}

// mountAgain mounts an ext4 anew, even if it is in use. While a mount namespace of another test has a copy of the old
// mount, mounting returns the broken file system again.
func mountAgain(t testing.TB, folder, image string) {
	t.Helper()
	run := func(command ...string) {
		t.Helper()
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	probe := filepath.Join(folder, "probe")
	testwait.Eventually(t, "an ext4 that can be written to", func() bool {
		run("umount", "--lazy", folder)
		run("mount", "-o", "loop", image, folder)
		return os.WriteFile(probe, nil, 0o600) == nil && os.Remove(probe) == nil
	})
}

// freeze freezes a file system: writes block.
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

// TestDiskFull: with retention a full disk costs old files; without it, --live drops what does not fit, and otherwise
// the recording ends.
func TestDiskFull(t *testing.T) {
	t.Parallel()
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

// TestFileSystemGone: the file system goes away and its successor is read-only at first. Recording goes on when it
// becomes writable.
func TestFileSystemGone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	mount(t, folder, "tmpfs", 0, "")
	files := filepath.Join(folder, "rec")
	in, w := pipe(t)
	stop := make(chan struct{})
	p := start(t, wiring{stdin: in}, "vw-record", "--live", "--buffer", "64KiB", "--rotate-frames", "10",
		filepath.Join(files, "%Y%m%dT%H%M%SZ.ts"))
	in.Close()
	sent := feed(t, w, tsgen.Options{GOP: 5, FramePackets: 10}, 1<<20, 5*time.Millisecond, stop)
	testwait.Eventually(t, "the first files", func() bool { return len(finished(files)) >= 2 })
	if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	mount(t, folder, "tmpfs", unix.MS_RDONLY, "")
	p.find(p.stderr, "read-only file system")
	if err := unix.Mount("", folder, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "files on the new file system", func() bool { return len(finished(files)) >= 2 })
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

// TestPowerCut: after a power cut finished files are whole, and the open one has what was written before the last
// --sync. It runs VW_TEST_POWER_CUTS times.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for round := range setting(t, "VW_TEST_POWER_CUTS", 2) {
		folder, image := mountImage(t)
		files, manifest := filepath.Join(folder, "rec"), filepath.Join(folder, "m.jsonl")
		args := []string{"--live", "--rotate-frames", "100", "--sync", "50ms", "--manifest", manifest,
			filepath.Join(files, "%Y", "%H%M%S.ts")}
		in, w := pipe(t)
		p := start(t, wiring{stdin: in}, "vw-record", args...)
		in.Close()
		sent := feed(t, w, tsgen.Options{GOP: 5, FramePackets: 10}, 1<<20, 5*time.Millisecond, nil)
		written := func() (size int64) {
			names, _ := filepath.Glob(filepath.Join(files, "*", "*"))
			for _, name := range names {
				if info, err := os.Stat(name); err == nil {
					size += info.Size()
				}
			}
			return size
		}
		least := int64(170000 + 10000*(round%3)) // a file of 162 kB and the beginning of the next
		testwait.Eventually(t, "a file and more", func() bool { return written() >= least })
		time.Sleep(300 * time.Millisecond) // it is still the same file then
		if err := cutPower(folder); err != nil {
			t.Fatal(err)
		}
		p.signal(os.Kill)
		p.wait()
		all := <-sent
		mountAgain(t, folder, image)
		start(t, wiring{}, "vw-record", args...).expect(0)
		r, missing := readRecording(t, files, manifest)
		if missing > 0 || !bytes.HasPrefix(all, r.joined) || int64(len(r.joined)) < least {
			t.Errorf("%d files are missing; %d bytes are there of %d", missing, len(r.joined), least)
		}
		// and nothing hidden
		if names, _ := filepath.Glob(filepath.Join(files, "*", "*")); len(names) != len(r.entries) {
			t.Errorf("files %v, %d lines", names, len(r.entries))
		}
		t.Logf("%d bytes, of them %d older than --sync; %d are there", len(all), least, len(r.joined))
	}
}
