package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Retention says how much of what was recorded is kept. 0 is no limit. The newest finished file is always kept, and the
// open one does not count. With any limit, a disk that is full takes the oldest file, whatever the limits say.
type Retention struct {
	Files   int64
	Size    int64         // bytes that the files take on the disk
	Age     time.Duration // since a file was finished
	MinFree int64         // bytes that are left on the file system
}

func (r Retention) any() bool { return r != Retention{} }

// archive is what has been recorded by this template, in the order of recording, and what is to be kept of it. It knows
// nothing when no limit is set.
type archive struct {
	rules    Retention
	template *Template
	disk     disk
	trouble  Logger
	began    time.Time
	// The clock and the file system, for tests.
	now          func() time.Time
	synchronised func() bool
	free         func(folder string) (int64, error)

	mu      sync.Mutex
	files   []kept // oldest first
	size    int64  // of all
	removed []string
}

// kept is a finished file.
type kept struct {
	path  string
	id    fileID
	size  int64     // what it takes on the disk
	ended time.Time // with a monotonic reading when this run made it
}

// fileID tells whether a path is still the file that was recorded.
type fileID struct{ device, inode uint64 }

func newArchive(r Retention, t *Template, d disk, trouble Logger) *archive {
	return &archive{
		rules: r, template: t, disk: d, trouble: trouble, began: time.Now(),
		now: time.Now, synchronised: clockIsSynchronised, free: freeSpace,
	}
}

// add adds the newest file, which ended at the given time.
func (a *archive) add(path string, ended time.Time) {
	if !a.rules.any() {
		return
	}
	info, err := os.Lstat(path)
	if err != nil {
		a.trouble.Warn("retention", "a file will not be deleted by retention", "file", path, "err", err)
		return
	}
	id, size := identify(info)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files = append(a.files, kept{path: path, id: id, size: size, ended: ended})
	a.size += size
}

// count is how many files are known.
func (a *archive) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.files)
}

// takeRemoved returns the files that have been deleted since it was last called, relative to the template's folder.
func (a *archive) takeRemoved() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	removed := a.removed
	a.removed = nil
	return removed
}

// maxFailures is how many deletions may fail before the rest is left for the next time.
const maxFailures = 16

// enforce deletes what the rules do not keep, oldest first. A file that cannot be deleted stays, and the others go on.
func (a *archive) enforce() {
	if !a.rules.any() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	lacking := a.lacking()
	failures := 0
	for i := 0; i < len(a.files)-1 && failures < maxFailures; {
		f := a.files[i]
		isOver := a.rules.Files > 0 && int64(len(a.files)) > a.rules.Files ||
			a.rules.Size > 0 && a.size > a.rules.Size ||
			lacking > 0 || a.isOld(f)
		if !isOver {
			return
		}
		if !a.remove(i) {
			failures++
			i++
			continue
		}
		lacking -= f.size
	}
}

// lacking is how many bytes are missing on the file system. What was deleted may be free only after a while, so this is
// asked once, and the rest the next time.
func (a *archive) lacking() int64 {
	if a.rules.MinFree == 0 {
		return 0
	}
	free, err := a.free(a.template.folder)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.trouble.Warn("retention", "how much of the disk is free is not known", "err", err)
		}
		return 0
	}
	return a.rules.MinFree - free
}

// earliest is a time before which no file was recorded: a clock that says so was not set.
var earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// isOld reports whether a file is older than the limit. Boards without a clock wake up in 1970, so no age is believed
// until the kernel says that the clock is right, and a file of this run ages by the monotonic clock.
func (a *archive) isOld(f kept) bool {
	if a.rules.Age == 0 {
		return false
	}
	ended := f.ended
	if ended.Before(earliest) {
		ended = a.began
	}
	if a.now().Sub(ended) <= a.rules.Age {
		return false
	}
	if !a.synchronised() {
		a.trouble.Warn("clock", "the clock is not synchronised, so nothing is deleted for its age")
		return false
	}
	return true
}

// makeRoom deletes the oldest file, because the disk is full, and reports whether there was one.
func (a *archive) makeRoom() bool {
	if !a.rules.any() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range min(len(a.files)-1, maxFailures) {
		if a.remove(i) {
			return true
		}
	}
	return false
}

// remove deletes the i-th file. What is not there any more, or is somebody else's now, is forgotten.
func (a *archive) remove(i int) bool {
	f := a.files[i]
	info, err := os.Lstat(f.path)
	if err == nil {
		if id, _ := identify(info); id == f.id {
			err = a.disk.Remove(f.path)
		} else {
			a.trouble.Warn("retention", "another file has this name now, and is not deleted", "file", f.path)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.trouble.Warn("retention", "a file could not be deleted", "file", f.path, "err", err)
		return false
	}
	a.files = slices.Delete(a.files, i, i+1)
	a.size -= f.size
	a.removed = append(a.removed, a.template.relative(f.path))
	a.removeFolders(filepath.Dir(f.path))
	return true
}

// removeFolders removes the folders that the template made for a file, if there is nothing in them any more.
func (a *archive) removeFolders(folder string) {
	if len(a.files) > 0 && filepath.Dir(a.files[len(a.files)-1].path) == folder {
		return // recording goes on there
	}
	for folder != a.template.folder && a.template.below(folder) <= a.template.nesting && os.Remove(folder) == nil {
		folder = filepath.Dir(folder)
	}
}

// identify returns who a file is, and what it takes on the disk.
func identify(info fs.FileInfo) (fileID, int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), uint64(st.Ino)}, int64(st.Blocks) * 512
	}
	return fileID{}, info.Size()
}

// sameDisk reports whether two folders are on one file system; what cannot be looked at is not.
func sameDisk(a, b string) bool {
	var infoA, infoB unix.Stat_t
	return unix.Stat(a, &infoA) == nil && unix.Stat(b, &infoB) == nil && infoA.Dev == infoB.Dev
}

// freeSpace is how many bytes of a file system are free for such as the owner of this process.
func freeSpace(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", folder, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
