package test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
)

// TestSaveOnFrozenDisk: a sender does not notice that the disk hangs on which it is saved, and nothing of it is
// missing.
func TestSaveOnFrozenDisk(t *testing.T) {
	folder := mountExt4(t)
	thaw := freeze(t, folder)
	t.Cleanup(thaw)
	s := start(t, wiring{}, "vw-testserver", "--conns", "1", "--timeout", testTimeout.String(), "--save", folder)
	url := s.find(s.stdout, `"event":"listening","url":"([^"]+)"`)
	data := make([]byte, 16<<20)
	_, _ = rand.Read(data)
	start(t, wiring{stdin: bytes.NewReader(data)}, "vw-push", "--format", "raw", url+"/cam1").expect(0)
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 { // lost+found
		t.Fatalf("it is not frozen: %v %v", files, err)
	}
	thaw()
	s.expect(0)
	same(t, "saved", read(t, filepath.Join(folder, "001-cam1.ts")), data)
}
