package testserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// hasGone reports whether the peer has reset the connection, or with halfClosed also whether it has closed its half. It
// reads nothing.
func hasGone(conn *net.TCPConn, halfClosed bool) (gone bool) {
	var events int16 // poll reports POLLHUP and POLLERR in any case
	if halfClosed {
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
