package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/lib/fdio"
)

// staleTimeout is how long a socket at the same path may take to answer. One without a listener refuses at once.
const staleTimeout = 2 * time.Second

// openUnix listens on a unix socket, in place of one that has no listener any more.
func openUnix(path string, mode fs.FileMode) (*Listener, error) {
	ln, err := bind(path, mode)
	if errors.Is(err, syscall.EADDRINUSE) && removeStale(path) {
		ln, err = bind(path, mode)
	}
	if errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("%w: the path of a socket is about 100 bytes long at most", err)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &Listener{Listener: fdio.Listener{Listener: ln}, Loopback: private(mode), socket: info, path: path}, nil
}

// bind makes the socket. The umask gives it its mode from the first moment on: a chmod after bind would leave one in
// which others can connect.
func bind(path string, mode fs.FileMode) (*net.UnixListener, error) {
	before := syscall.Umask(int(^mode.Perm() & 0o777))
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(before)
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // it would also remove another process's socket of that name
	return ln, nil
}

// removeStale removes a socket that refuses connections, which is what a process leaves that was killed. It touches
// nothing else: no file, and no socket that is merely slow.
func removeStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", path, staleTimeout)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}
