package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// claim makes sure that no other recorder with --exec uses the manifest: with one template, each would run its command
// for the files of the other, and delete what that has not carried away. The manifest itself cannot be the file that is
// locked for so long, because it is replaced. The lock ends with the process at the latest.
func (m *manifest) claim() error {
	path := m.claimPath()
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return fmt.Errorf("lock manifest %s: %w", m.path, err)
		}
		if err = lockFinished(f, path); err == nil {
			m.claimed = f
			return nil
		}
		_ = f.Close() // nothing was written to it
		switch {
		case errors.Is(err, errInUse):
			return fmt.Errorf("another recorder with --exec uses the manifest %s: each needs one of its own", m.path)
		case !errors.Is(err, errReplaced) && !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("lock manifest %s: %w", m.path, err)
		}
		// The other recorder has just ended, and removed the file.
	}
}

// release ends the claim.
func (m *manifest) release() {
	if m == nil || m.claimed == nil {
		return
	}
	_ = os.Remove(m.claimPath()) // while it is locked; the next recorder would use it as it is
	_ = m.claimed.Close()
	m.claimed = nil
}

func (m *manifest) claimPath() string {
	return filepath.Join(filepath.Dir(m.path), "."+filepath.Base(m.path)+".lock")
}
