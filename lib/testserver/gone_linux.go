package testserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// hasGone reports whether the peer has reset the connection, or with half whether it has closed its half, without
// reading from it.
func hasGone(conn *net.TCPConn, half bool) (gone bool) {
	var events int16 // POLLHUP and POLLERR need not be asked for
	if half {
		events = unix.POLLRDHUP
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		set := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(set, 0)
		gone = err == nil && n > 0 && set[0].Revents != 0
	})
	return gone || err != nil
}
