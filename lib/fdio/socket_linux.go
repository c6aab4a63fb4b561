package fdio

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket writes to a Conn for whoever writes the same to hundreds of them in a row. Each system call takes the
// processor's cache, so what a Conn needs for a write (its locks, its place in the poller) comes from memory again each
// time. A Socket needs next to nothing.
type Socket struct{ fd uintptr }

// Socket returns the connection's socket. It must not be used when the connection has been closed, nor while it is
// being closed: the descriptor's number may then be that of another connection.
func (c *Conn) Socket() *Socket {
	s := new(Socket)
	if c.d.control(func(fd uintptr) { s.fd = fd }) != nil {
		return nil
	}
	return s
}

// TryWrite writes as much of p as is taken without waiting, and returns how much that is: nothing after an error. It
// must not be called while something else writes to the connection.
func (s *Socket) TryWrite(p []byte) (n int) {
	for n < len(p) {
		m, err := s.send(p[n:])
		switch err {
		case nil:
			n += m
		case syscall.EINTR:
		default:
			return n // the next Write returns it
		}
	}
	return n
}

func (s *Socket) send(p []byte) (int, error) {
	if maxRawCalls == 0 {
		return syscall.Write(int(s.fd), p)
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, s.fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
