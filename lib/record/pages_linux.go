package record

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the data of a file durable, with the metadata that is needed to read it.
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

// dropPageCache drops synced data from the page cache: a recording is seldom read soon, and must not push out what
// other programs read. It is only advice to the kernel.
func dropPageCache(f *os.File) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) })
	}
}
