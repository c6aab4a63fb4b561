package vwrecord

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadOnly: a read-only folder is an error at start, also with --live.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Skipf("SKIPPED: a read-only file system cannot be mounted (%v)", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	cmd := exec.Command("vw-record", "--live", filepath.Join(dir, "x.ts"))
	cmd.Stdin = strings.NewReader("x")
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !bytes.Contains(out, []byte("read-only file system")) {
		t.Errorf("%v: %s", cmd.ProcessState, out)
	}
}
