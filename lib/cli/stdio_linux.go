package cli

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ioctlGetTermios = unix.TCGETS
	// pipeBuf is how much a pipe takes without blocking when poll(2) says that it takes something: a page.
	pipeBuf = 4096
)

// reopen opens the pipe of fd a second time, without blocking, and gives it to Go's poller. It fails for a pipe of
// another user (EACCES) and where /proc is missing.
func reopen(fd, access int, name string) (*os.File, error) {
	own, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), access|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), name)
	// A file that the poller did not take has no deadlines.
	if err := f.SetDeadline(time.Time{}); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// growPipe makes the pipe hold size bytes if it holds less. A user has a limit for all pipes together, and at that the
// pipe stays as it is.
func growPipe(fd, size int) {
	if held, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil && held < size {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size)
	}
}

func dup2(from, to int) error { return unix.Dup3(from, to, 0) }
