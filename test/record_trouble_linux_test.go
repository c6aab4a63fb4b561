package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// trouble is a passing fault of a disk, or a passing limit of the recorder.
type trouble struct {
	says    string // the log, about the cause
	cause   func()
	cure    func()
	takes   bool // it takes finished files with it, also those that are listed
	folder  string
	limited *process // the process to limit, once it has been started
}

// TestDiskTrouble: --live outlives every fault of a disk. Recording goes on in a new file afterwards, the log is brief,
// and ledger and manifest account for every byte.
func TestDiskTrouble(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T) *trouble{
		"full": full, "read-only": readOnly, "input/output error": inputOutput, "folder removed": folderRemoved,
		"size limit": sizeLimit, "one descriptor": oneDescriptor,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := prepare(t)
			files := filepath.Join(tr.folder, "rec")
			manifest := filepath.Join(t.TempDir(), "m.jsonl")
			in, w := pipe(t)
			stop := make(chan struct{})
			began := time.Now()
			p := start(t, wiring{stdin: in}, "vw-record", "--live", "--buffer", "64KiB", "--rotate-frames", "10",
				"--manifest", manifest, filepath.Join(files, "%Y%m%dT%H%M%SZ.ts"))
			in.Close()
			tr.limited = p
			sent := feed(t, w, tsgen.Options{GOP: 5, FramePackets: 10}, 1<<20, 5*time.Millisecond, stop)
			testwait.Eventually(t, "the first files", func() bool { return len(finished(files)) >= 2 })
			tr.cause()
			p.find(p.stderr, tr.says)
			time.Sleep(1500 * time.Millisecond) // long enough to be logged more than once
			tr.cure()
			n := len(finished(files))
			testwait.Eventually(t, "files after it", func() bool { return len(finished(files)) >= n+2 })
			close(stop)
			all := <-sent
			p.expect(3)
			s := p.account()
			c := s.Out[0]
			if s.In.Bytes != int64(len(all)) || c.Confirmed == 0 || c.Confirmed == s.In.Bytes {
				t.Errorf("%+v", s)
			}
			r, missing := readRecording(t, files, manifest)
			var inFiles, dropped int64
			for _, e := range r.entries {
				inFiles += e.Bytes - e.Injected
				dropped += e.Dropped
				if !e.StartsAtKeyframe {
					t.Errorf("%+v", e)
				}
			}
			if dropped != c.Dropped.Sum() || !tr.takes && (missing > 0 || inFiles < c.Confirmed) {
				t.Errorf("%d bytes in files, %d files missing, %d dropped, says the manifest; %+v", inFiles, missing,
					dropped, c)
			}
			if names := recorded(t, files); len(names) != len(r.entries) { // and nothing hidden
				t.Errorf("%d files, %d lines", len(names), len(r.entries))
			}
			complaint := regexp.MustCompile(`(?m)^.*level=WARN.*(interrupted|no file).*$`)
			complaints := complaint.FindAllString(p.stderr.String(), -1)
			if most := int(time.Since(began)/time.Second) + 1; len(complaints) == 0 || len(complaints) > most {
				t.Errorf("%d complaints in %v", len(complaints), time.Since(began))
			}
			t.Logf("%d bytes, %d confirmed, %d dropped; %d complaints", s.In.Bytes, c.Confirmed, c.Dropped.Sum(),
				len(complaints))
		})
	}
}

// full: another program fills the disk, and frees it.
func full(t *testing.T) *trouble {
	folder := t.TempDir()
	mount(t, folder, "tmpfs", 0, "size=4m")
	ballast := filepath.Join(folder, "ballast")
	return &trouble{
		says: "no space left", folder: folder,
		cause: func() {
			if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
		},
		cure: func() {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// readOnly: an error makes the kernel remount the file system read-only.
func readOnly(t *testing.T) *trouble {
	folder, image := mountImage(t)
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		t.Fatal(err)
	}
	link := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	device, err := os.Readlink(link)
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	if err == nil {
		_, err = os.Stat(trigger)
	}
	if err != nil {
		t.Skipf("SKIPPED: errors of a file system cannot be made here: %v", err)
	}
	return mountedAgain(t, folder, image, "read-only file system",
		func() error { return os.WriteFile(trigger, []byte("1"), 0) })
}

// inputOutput: the device fails.
func inputOutput(t *testing.T) *trouble {
	folder, image := mountImage(t)
	return mountedAgain(t, folder, image, "input/output error", func() error { return cutPower(folder) })
}

// mountedAgain: an ext4 breaks, and is mounted again.
func mountedAgain(t *testing.T, folder, image, says string, breaks func() error) *trouble {
	return &trouble{
		says: says, folder: folder,
		cause: func() {
			if err := breaks(); err != nil {
				t.Fatal(err)
			}
		},
		cure: func() { mountAgain(t, folder, image) },
	}
}

// folderRemoved: a user removes all recordings.
func folderRemoved(t *testing.T) *trouble {
	folder := t.TempDir()
	return &trouble{
		says: "no such file or directory", folder: folder, takes: true,
		cause: func() {
			// A file may be created in it just then.
			testwait.Eventually(t, "a removed folder", func() bool {
				return os.RemoveAll(filepath.Join(folder, "rec")) == nil
			})
		},
		cure: func() {},
	}
}

// sizeLimit: RLIMIT_FSIZE.
func sizeLimit(t *testing.T) *trouble {
	return limited(t, unix.RLIMIT_FSIZE, 5000, "file too large")
}

// oneDescriptor: RLIMIT_NOFILE.
func oneDescriptor(t *testing.T) *trouble {
	return limited(t, unix.RLIMIT_NOFILE, 1, "too many open files")
}

func limited(t *testing.T, resource int, limit uint64, says string) *trouble {
	tr := &trouble{says: says, folder: t.TempDir()}
	var before unix.Rlimit
	tr.cause = func() {
		pid := tr.limited.cmd.Process.Pid
		if err := unix.Prlimit(pid, resource, nil, &before); err != nil {
			t.Fatal(err)
		}
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: before.Max}, nil); err != nil {
			t.Skipf("SKIPPED: the limits of a process cannot be changed here: %v", err)
		}
	}
	tr.cure = func() {
		if err := unix.Prlimit(tr.limited.cmd.Process.Pid, resource, &before, nil); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}
