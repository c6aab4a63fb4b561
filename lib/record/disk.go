package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// disk is what a recording needs from a file system. Tests inject faults here.
type disk interface {
	// Create creates a new file with its directories, and locks it.
	Create(path string) (file, error)
	// Rename renames a file without replacing another. It fails with fs.ErrExist if the name is taken.
	Rename(from, to string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(path string) error
	Remove(path string) error
}

// file is a file that is being written.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
	// SyncData makes the data written so far durable.
	SyncData() error
	// Check fails if the file no longer has the name that it was created with.
	Check() error
}

// osFile is a file on a real disk.
type osFile struct {
	*os.File
	path string
}

func (f *osFile) Sync() error { return f.afterSync(f.File.Sync()) }

func (f *osFile) SyncData() error { return f.afterSync(syncData(f.File)) }

// afterSync drops the file from the page cache if the sync succeeded, and returns the sync's error.
func (f *osFile) afterSync(err error) error {
	if err == nil {
		dropPageCache(f.File)
	}
	return err
}

func (f *osFile) Check() error { return checkSameFile(f.File, f.path) }

// osDisk is a real disk.
type osDisk struct{}

// errInUse says that another process holds the lock of a file.
var errInUse = errors.New("another recorder is writing it")

func (osDisk) Create(path string) (file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	// With O_APPEND, the write after a failed one continues at the end, where Truncate has put it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	// Between open and lock, another recorder may take the empty file for the remains of a crash and remove it.
	if err := lock(f, path); err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "lock", Path: path, Err: fs.ErrExist}
	}
	return &osFile{f, path}, nil
}

// lock locks a file for this process until it is closed, and makes sure that it still has its path. On a file system
// without locks it locks nothing: no other recorder can lock there either.
func lock(f *os.File, path string) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EWOULDBLOCK {
			return fmt.Errorf("%s: %w", path, errInUse)
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && err != unix.ENOLCK {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		break
	}
	// The file may have been renamed or removed before the lock was granted.
	return checkSameFile(f, path)
}

const (
	lockPause = 5 * time.Millisecond
	lockTries = 100
)

// lockFinished locks a finished file. A child process that is being started shares its parent's locks until it executes
// its program, so the lock of a file that no process uses can be taken for a moment: lockFinished waits for it.
func lockFinished(f *os.File, path string) error {
	for range lockTries - 1 {
		if err := lock(f, path); !errors.Is(err, errInUse) {
			return err
		}
		time.Sleep(lockPause)
	}
	return lock(f, path)
}

// errReplaced says that a path now names another file.
var errReplaced = errors.New("the name belongs to another file now")

// checkSameFile fails if path does not name the open file f.
func checkSameFile(f *os.File, path string) error {
	own, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(own, named) {
		return fmt.Errorf("%s: %w", path, errReplaced)
	}
	return nil
}

// isFull reports whether err means that the disk or a quota is full.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (osDisk) Rename(from, to string) error { return renameNoReplace(from, to) }

// linkNoReplace renames without replacing where the kernel has no renameat2.
func linkNoReplace(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

func (osDisk) SyncDir(path string) error { return atomicfile.SyncDir(path) }

func (osDisk) Remove(path string) error { return os.Remove(path) }
