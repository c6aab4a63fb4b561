package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// disk is what recording needs of a file system. Tests put faults in here.
type disk interface {
	// Create makes a file that is not there, with the folders that it needs, and locks it.
	Create(path string) (file, error)
	// Rename gives a file its name, and replaces nothing: fs.ErrExist.
	Rename(from, to string) error
	// SyncFolder makes the names in a folder last.
	SyncFolder(path string) error
	Remove(path string) error
}

// file is one that is being written.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
	// SyncData makes what was written so far last.
	SyncData() error
	// Check sees whether the file still bears the name that it was created with.
	Check() error
}

// osFile is a file of the real disk.
type osFile struct {
	*os.File
	path string
}

func (f *osFile) Sync() error { return f.gaveBack(f.File.Sync()) }

func (f *osFile) SyncData() error { return f.gaveBack(syncData(f.File)) }

// gaveBack gives the file's memory back after a sync, and passes on what came of that.
func (f *osFile) gaveBack(err error) error {
	if err == nil {
		giveBack(f.File)
	}
	return err
}

func (f *osFile) Check() error { return bearsName(f.File, f.path) }

// osDisk is the real one.
type osDisk struct{}

// errInUse says that another process has the lock of a file.
var errInUse = errors.New("another recorder is writing it")

func (osDisk) Create(path string) (file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	// Appending: what is written after a write that failed in the middle comes behind what was kept of that.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	// In between another recorder may have taken the empty file for what a crash left, and may be removing it.
	if err := lock(f, path); err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "lock", Path: path, Err: fs.ErrExist}
	}
	return &osFile{f, path}, nil
}

// lock locks the file that bears the path. The lock lasts until it is closed, and longer than no process. A file system
// that has no locks is taken as it is: nobody else can lock there either.
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
	// It may have got its name, or have been removed, while it was waited for.
	return bearsName(f, path)
}

// errNotNamed says that a name is another file's now.
var errNotNamed = errors.New("it is another file now")

// bearsName sees whether a path is that of the open file.
func bearsName(f *os.File, path string) error {
	own, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(own, named) {
		return fmt.Errorf("%s: %w", path, errNotNamed)
	}
	return nil
}

// isFull reports whether an error means that there is no room: that of the disk or a quota.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (osDisk) Rename(from, to string) error { return renameNoReplace(from, to) }

// linkNoReplace is Rename where the system cannot rename without replacing.
func linkNoReplace(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

func (osDisk) SyncFolder(path string) error { return atomicfile.SyncDir(path) }

func (osDisk) Remove(path string) error { return os.Remove(path) }
