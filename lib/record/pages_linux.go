package record

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes what was written to a file last, with as much about the file as it takes to read that again.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = unix.Fdatasync(int(fd)); failed != unix.EINTR {
				return
			}
		}
	})
	if err == nil && failed != nil {
		err = os.NewSyscallError("fdatasync", failed)
	}
	return err
}

// giveBack takes what is on the disk out of the page cache: nobody reads a recording soon, and what others read is to
// stay there. It is only advice.
func giveBack(f *os.File) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) })
	}
}
