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

// Retention says which finished files are kept. 0 means no limit. The newest file is always kept, and the open one does
// not count. With any limit set, a full disk costs the oldest file whatever the limits say.
type Retention struct {
	Files   int64
	Size    int64         // bytes that the files occupy on the disk
	Age     time.Duration // since a file was finished
	MinFree int64         // bytes that must be free on the file system
}

func (r Retention) any() bool { return r != Retention{} }

// archive lists the finished files of this template in the order of recording, and deletes them by the rules. It stays
// empty if there are no rules.
type archive struct {
	rules     Retention
	template  *Template
	disk      disk
	throttled Logger
	began     time.Time
	// Clock and file system; tests replace them.
	now          func() time.Time
	synchronised func() bool
	free         func(folder string) (int64, error)

	mu      sync.Mutex
	files   []kept // oldest first
	size    int64  // of all files
	removed []string
}

// kept is a finished file.
type kept struct {
	path  string
	id    fileID
	size  int64     // that it occupies on the disk
	ended time.Time // has a monotonic reading if this run finished it
}

// fileID identifies the file that was recorded, whatever has its name now.
type fileID struct{ device, inode uint64 }

func newArchive(r Retention, t *Template, d disk, throttled Logger) *archive {
	return &archive{
		rules: r, template: t, disk: d, throttled: throttled, began: time.Now(),
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
		a.throttled.Warn("retention", "file unknown to retention, which will not delete it", "file", path, "err", err)
		return
	}
	id, size := identify(info)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files = append(a.files, kept{path: path, id: id, size: size, ended: ended})
	a.size += size
}

// count returns how many files are listed.
func (a *archive) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.files)
}

// takeRemoved returns the files that were deleted since the last call, relative to the template's folder.
func (a *archive) takeRemoved() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	removed := a.removed
	a.removed = nil
	return removed
}

// maxFailures bounds the failed deletions in one go.
const maxFailures = 16

// enforce deletes the files that the rules do not keep, oldest first. It passes over a file that cannot be deleted.
func (a *archive) enforce() {
	if !a.rules.any() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	lacking := a.deficit()
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

// deficit returns how many bytes must be freed. It is asked once each time, because a file system may free the space of
// deleted files later.
func (a *archive) deficit() int64 {
	if a.rules.MinFree == 0 {
		return 0
	}
	free, err := a.free(a.template.folder)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.throttled.Warn("retention", "free space of the disk unknown", "err", err)
		}
		return 0
	}
	return a.rules.MinFree - free
}

// earliest is before any recording. A file that claims to be older was made while the clock was not set.
var earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// isOld reports whether a file is older than Age. Boards without a clock start in 1970, so nothing counts as old before
// the kernel calls the clock synchronised, and files of this run age by the monotonic clock.
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
		a.throttled.Warn("clock", "clock not synchronised; no file is deleted for its age")
		return false
	}
	return true
}

// makeRoom deletes the oldest file because the disk is full, and reports whether there was one.
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

// remove deletes the i-th file, and reports whether it is off the list. A file that is gone, or whose name belongs to
// another file now, leaves the list only.
func (a *archive) remove(i int) bool {
	f := a.files[i]
	info, err := os.Lstat(f.path)
	if err == nil {
		if id, _ := identify(info); id == f.id {
			err = a.disk.Remove(f.path)
		} else {
			a.throttled.Warn("retention", "file not deleted: its name belongs to another file now", "file", f.path)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.throttled.Warn("retention", "file not deleted", "file", f.path, "err", err)
		return false
	}
	a.files = slices.Delete(a.files, i, i+1)
	a.size -= f.size
	a.removed = append(a.removed, a.template.relative(f.path))
	a.removeFolders(filepath.Dir(f.path))
	return true
}

// removeFolders removes the empty folders that the template made for a file.
func (a *archive) removeFolders(folder string) {
	if len(a.files) > 0 && filepath.Dir(a.files[len(a.files)-1].path) == folder {
		return // the recording goes on there
	}
	for folder != a.template.folder && a.template.below(folder) <= a.template.nesting && os.Remove(folder) == nil {
		folder = filepath.Dir(folder)
	}
}

// identify returns the identity of a file and the bytes that it occupies on the disk.
func identify(info fs.FileInfo) (fileID, int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(st.Dev), uint64(st.Ino)}, int64(st.Blocks) * 512
	}
	return fileID{}, info.Size()
}

// sameDisk reports whether two folders are on one file system. It is false if one cannot be inspected.
func sameDisk(a, b string) bool {
	var infoA, infoB unix.Stat_t
	return unix.Stat(a, &infoA) == nil && unix.Stat(b, &infoB) == nil && infoA.Dev == infoB.Dev
}

// freeSpace returns how many bytes of a file system are free for an unprivileged user.
func freeSpace(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", folder, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
