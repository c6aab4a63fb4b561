package viewer

import (
	"crypto/tls"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// notsentLowat is how much, in bytes, the kernel takes for a viewer that it has not sent yet. Without it, a viewer that
// has stalled for half a minute looks like one that keeps up.
const notsentLowat = 128 << 10

func limitUnsent(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if rc, err := sc.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) { // a unix socket has no such option
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notsentLowat)
		})
	}
}
