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
	// SpareTodo spares files whose command has not succeeded, unless the disk is full or has less free than MinFree,
	// which then is a twentieth of the file system unless given.
	SpareTodo bool
}

// Any reports whether there is a limit.
func (r Retention) Any() bool { return r.Files > 0 || r.Size > 0 || r.Age > 0 || r.MinFree > 0 }

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
	free         func(folder string) (free, total int64, err error)

	mu       sync.Mutex
	files    []kept // oldest first
	size     int64  // of all files
	removed  []kept // since the last call of takeRemoved
	removals int    // how many files were deleted
}

// kept is a finished file.
type kept struct {
	path  string
	id    fileID
	size  int64     // that it occupies on the disk
	ended time.Time // has a monotonic reading if this run finished it

	isListed  bool // the manifest has a line of it
	sha256    string
	exec      ExecState
	isRunning bool // its command is
}

// fileID identifies the file that was recorded, whatever has its name now.
type fileID struct{ device, inode uint64 }

func newArchive(r Retention, t *Template, d disk, throttled Logger) *archive {
	return &archive{
		rules: r, template: t, disk: d, throttled: throttled, began: time.Now(),
		now: time.Now, synchronised: clockIsSynchronised, free: diskSpace,
	}
}

func (a *archive) hasRules() bool { return a.rules.Any() }

// changesByItself reports whether there is something to enforce when no file is finished.
func (a *archive) changesByItself() bool {
	return a.hasRules() && (a.rules.Age > 0 || a.rules.MinFree > 0 || a.rules.SpareTodo)
}

// add adds the newest file.
func (a *archive) add(k kept) {
	if !a.hasRules() {
		return
	}
	info, err := os.Lstat(k.path)
	if err != nil {
		a.throttled.Warn("retention", "file unknown to retention, which will not delete it", "file", k.path, "err", err)
		return
	}
	k.id, k.size = identify(info)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files = append(a.files, k)
	a.size += k.size
}

// update changes the file of a path, if it is listed.
func (a *archive) update(path string, change func(*kept)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.files {
		if a.files[i].path == path {
			change(&a.files[i])
			return
		}
	}
}

// setListed notes that the manifest has a line of a file.
func (a *archive) setListed(path, sha256 string, state ExecState) {
	a.update(path, func(k *kept) { k.isListed, k.sha256, k.exec = true, sha256, state })
}

func (a *archive) setDone(path string) { a.update(path, func(k *kept) { k.exec = Done }) }

func (a *archive) setRunning(path string, isRunning bool) {
	a.update(path, func(k *kept) { k.isRunning = isRunning })
}

// markDeleted takes a file off the list that is gone.
func (a *archive) markDeleted(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.files {
		if a.files[i].path == path {
			a.size -= a.files[i].size
			a.files = slices.Delete(a.files, i, i+1)
			return
		}
	}
}

// takeRemoved returns the files that were deleted since the last call.
func (a *archive) takeRemoved() []kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	removed := a.removed
	a.removed = nil
	return removed
}

// deletions returns how many files have been deleted.
func (a *archive) deletions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.removals
}

// maxFailures bounds the failed deletions in one go.
const maxFailures = 16

// enforce deletes the files that the rules do not keep, oldest first. It passes over a file that cannot be deleted.
func (a *archive) enforce() {
	if !a.hasRules() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	deficit := a.deficit()
	count, size := int64(len(a.files)), a.size // less those that are spared
	failures := 0
	for i := 0; i < len(a.files)-1 && failures < maxFailures; {
		f := a.files[i]
		isOver := a.rules.Files > 0 && count > a.rules.Files ||
			a.rules.Size > 0 && size > a.rules.Size || a.isOld(f)
		if !isOver {
			break // so is no younger one
		}
		switch {
		case a.isSpared(f):
			i++
			count, size = count-1, size-f.size
		case !a.remove(i):
			failures++
			i++
		default:
			count, size, deficit = count-1, size-f.size, deficit-f.size
		}
	}
	if deficit > 0 {
		a.freeSpace(func(size int64) bool { deficit -= size; return deficit <= 0 })
	}
}

// isSpared reports whether the rules do not hold for a file yet.
func (a *archive) isSpared(f kept) bool { return a.rules.SpareTodo && f.exec == Todo }

// freeSpace deletes files until enough, which gets the size of each, says so: first those whose command has succeeded,
// then the others, those whose command is running last. The newest stays.
func (a *archive) freeSpace(enough func(size int64) bool) {
	failures := 0
	for _, isCandidate := range []func(kept) bool{
		func(f kept) bool { return !a.isSpared(f) },
		func(f kept) bool { return !f.isRunning },
		func(kept) bool { return true },
	} {
		for i := 0; i < len(a.files)-1 && failures < maxFailures; {
			f := a.files[i]
			switch {
			case !isCandidate(f):
				i++
			case !a.remove(i):
				failures++
				i++
			case enough(f.size):
				return
			}
		}
	}
}

// deficit returns how many bytes must be freed. It is asked once each time, because a file system may free the space of
// deleted files later.
func (a *archive) deficit() int64 {
	if a.rules.MinFree == 0 && !a.rules.SpareTodo {
		return 0
	}
	free, total, err := a.free(a.template.folder)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.throttled.Warn("retention", "free space of the disk unknown", "err", err)
		}
		return 0
	}
	if a.rules.MinFree == 0 {
		return total/20 - free
	}
	return a.rules.MinFree - free
}

// earliest is before any recording. A file that claims to be older was made while the clock was not set.
var earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// isOld reports whether a file is older than Age. Boards without a clock start in 1970, so nothing counts as old before
// the kernel calls the clock synchronised, and files of this run age by the monotonic clock. A file from the future was
// made while the clock was wrong, too, and must not protect the younger ones until then.
func (a *archive) isOld(f kept) bool {
	if a.rules.Age == 0 {
		return false
	}
	age := a.now().Sub(f.ended)
	if f.ended.Before(earliest) || age < 0 {
		age = a.now().Sub(a.began)
	}
	if age <= a.rules.Age {
		return false
	}
	if !a.synchronised() {
		a.throttled.Warn("clock", "clock not synchronised; no file is deleted for its age")
		return false
	}
	return true
}

// makeRoom deletes a file because the disk is full, and reports whether there was one.
func (a *archive) makeRoom() bool {
	if !a.hasRules() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.removals
	a.freeSpace(func(int64) bool { return true })
	return a.removals > before
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
	a.removals++
	a.removed = append(a.removed, f)
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

// diskSpace returns how many bytes of a file system are free for an unprivileged user, and how many it has.
func diskSpace(folder string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", folder, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
