package listen

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/fdio"
)

// firstFD is the first socket that systemd hands over (sd_listen_fds(3)).
const firstFD = 3

// openFD listens on a socket that is open and listening.
func openFD(fd int) (*Listener, error) {
	name := "file descriptor " + strconv.Itoa(fd)
	unix.CloseOnExec(fd) // before anything else is started
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, fmt.Errorf("%s is not open", name)
	}
	defer f.Close() // FileListener duplicates it
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", name, err)
	}
	l := &Listener{Listener: fdio.Listener{Listener: ln}}
	switch addr := ln.Addr().(type) {
	case *net.TCPAddr:
		l.Loopback = addr.IP.IsLoopback()
	case *net.UnixAddr:
		ln.(*net.UnixListener).SetUnlinkOnClose(false) // the process that made it removes it
		if info, err := os.Stat(addr.Name); err == nil {
			l.Loopback = private(info.Mode())
		}
	}
	return l, nil
}

// Inherited returns the addresses of the sockets that systemd has handed to this process (LISTEN_FDS). Variables that
// are for another process (LISTEN_PID) count for none: then fd:N names a socket by its number.
func Inherited(lookup func(string) string) []Address {
	n, err := strconv.Atoi(lookup("LISTEN_FDS"))
	if err != nil || n < 1 || lookup("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	var all []Address
	for fd := firstFD; fd < firstFD+n; fd++ {
		all = append(all, Address{value: "fd:" + strconv.Itoa(fd), fd: fd})
	}
	return all
}
