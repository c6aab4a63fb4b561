package record

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident counts the pages of a file that are in memory.
func resident(t *testing.T, path string) (pages int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	in := make([]byte, (len(b)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range in {
		pages += int(p & 1)
	}
	return pages
}

// TestSyncedPagesLeaveCache: synced data leaves the page cache, both while a file is written and when it is finished.
func TestSyncedPagesLeaveCache(t *testing.T) {
	for name, sync := range map[string]func(file) error{"on the way": file.SyncData, "at the end": file.Sync} {
		path := filepath.Join(t.TempDir(), "x")
		f, err := osDisk{}.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		before := resident(t, path)
		if err := sync(f); err != nil {
			t.Fatal(err)
		}
		var st unix.Statfs_t
		if unix.Statfs(path, &st) == nil && st.Type == unix.TMPFS_MAGIC {
			t.Skip("SKIPPED: the temporary folder is in memory, where nothing is given back")
		}
		if after := resident(t, path); before < 200 || after > before/10 {
			t.Errorf("%s: %d pages before, %d after", name, before, after)
		}
	}
}
