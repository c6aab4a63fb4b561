package fdio

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nonblockingPipe returns a pipe whose ends are in the poller.
func nonblockingPipe(t testing.TB) (r, w *File) {
	t.Helper()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{pr, pw} {
		t.Cleanup(func() { _ = f.Close() })
		raw, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if cerr := raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), true) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
	}
	return NewFile(pr), NewFile(pw)
}
