// Package atomicfile writes files that are replaced as a whole: whoever reads one, at any moment and after any crash, finds
// the old contents or the new. It is renameio, with what renameio leaves to its users: symbolic links, what is no
// regular file, what a crash left, and the name on the disk.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Resolve returns the path to give to Write: what a symbolic link points to is meant, not the link, and what is there
// must not be /dev/null or a pipe.
func Resolve(path string) (string, error) {
	switch target, err := filepath.EvalSymlinks(path); {
	case err == nil:
		path = target
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s is not a regular file: %w", path, unix.EISDIR)
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	return path, nil
}

// Write gives a file new contents, and makes that last. One that is not there gets perm, less the umask; one that is
// keeps its permissions.
func Write(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	// Without the folder renameio may choose $TMPDIR, where nobody would look for what a crash left.
	pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithPermissions(perm), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer pending.Cleanup()
	if _, err := pending.Write(data); err != nil {
		return err
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a folder last: renaming makes a file whole, but does not put its name on the disk.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	// Not every file system knows how to sync a folder, and those that do not have nothing to sync.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// RemoveStale removes temporary files of Write that a crash left: the name with a dot before it and a random number
// after, which has 18 or 19 digits nearly always. Fewer are left alone: they may be somebody's file.
func RemoveStale(path string) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return // writing will tell
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+base)
		if ok && len(number) >= 15 && strings.Trim(number, "0123456789") == "" && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
