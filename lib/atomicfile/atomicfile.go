// Package atomicfile replaces files as a whole: a reader finds the old contents or the new ones at any moment, also
// after a crash. It adds to renameio what renameio leaves to its callers: symbolic links, targets that are not regular
// files, temporary files that a crash left, and syncing the directory.
//
// It is vw's own and may change.
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

// Resolve returns the path to pass to Write. It follows symbolic links, so that Write replaces the target and not the
// link, and fails for a directory, a device or a pipe.
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

// Write replaces the contents of a file and syncs the file and its directory. A new file gets perm, less the umask; an
// existing one keeps its permissions.
func Write(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	// By default renameio may choose $TMPDIR, where RemoveStale would not look.
	pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir),
		renameio.WithPermissions(perm), renameio.WithExistingPermissions())
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

// SyncDir syncs a directory. A rename is not durable before that.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems cannot sync a directory. Those have nothing to sync.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// RemoveStale removes temporary files that a crash of Write left. Their names are a dot, the base of path and a random
// number, which almost always has 18 or 19 digits. Names with fewer than 15 digits are left alone, because they may
// belong to the user.
func RemoveStale(path string) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return // Write reports it
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+base)
		if ok && len(number) >= 15 && strings.Trim(number, "0123456789") == "" && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
