package wsconn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// SetNotsentLowat limits, in bytes, what the kernel takes and has not sent yet, on the TCP connection below conn (which
// may be TLS). Without it, the kernel takes megabytes on a slow link, which is latency that no queue can take back.
// Elsewhere than on Linux, and for what is no TCP connection, it does nothing.
func SetNotsentLowat(conn net.Conn, bytes int) {
	_ = control(underlyingConn(conn), func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
}

func acked(conn net.Conn) (n uint64, ok bool) {
	err := control(conn, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			n = info.Bytes_acked
		}
		return err
	})
	return n, err == nil && n > 0 // the handshake is always acknowledged; kernels before 4.1 do not count
}

func control(conn net.Conn, f func(fd int) error) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return unix.EINVAL
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
