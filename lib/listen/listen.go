package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/timdrysdale/vw/lib/fdio"
)

// DefaultMode is who may connect to a unix socket: its owner.
const DefaultMode fs.FileMode = 0o600

// Address is a value of --listen that has been read, and not opened yet.
type Address struct {
	value string
	tcp   *net.TCPAddr
	path  string // of a unix socket; "": none
	fd    int    // of a socket that is open; -1: none
}

// SyntaxError says that a value of --listen can never be opened.
type SyntaxError struct {
	Text string
	Hint string
}

func (e *SyntaxError) Error() string { return e.Text }

const addressHint = "an address is HOST:PORT (127.0.0.1:8081, :8081, [::1]:8081), unix:PATH, or fd:N for an open socket"

// Parse reads a value of --listen. It resolves a host name now, so that what was found to be loopback is what is
// listened on. Its error is a *SyntaxError if the value itself is wrong.
func Parse(value string) (Address, error) {
	a := Address{value: value, fd: -1}
	if path, ok := strings.CutPrefix(value, "unix:"); ok {
		if path == "" || path[0] == '@' {
			return a, &SyntaxError{"unix: needs the path of a socket", addressHint}
		}
		a.path = path
		return a, nil
	}
	if number, ok := strings.CutPrefix(value, "fd:"); ok {
		fd, err := strconv.Atoi(number)
		if err != nil || fd < 3 {
			return a, &SyntaxError{"fd: needs the number of a file descriptor from 3 on", addressHint}
		}
		a.fd = fd
		return a, nil
	}
	if value == "" {
		return a, &SyntaxError{"the address is empty", addressHint}
	}
	tcp, err := net.ResolveTCPAddr("tcp", value)
	var malformed *net.AddrError
	var unknown *net.DNSError
	switch {
	case errors.As(err, &malformed), errors.As(err, &unknown) && unknown.IsNotFound:
		return a, &SyntaxError{err.Error(), addressHint}
	case err != nil:
		return a, fmt.Errorf("resolve %s: %w", value, err)
	}
	a.tcp = tcp
	return a, nil
}

// String returns the value that was read.
func (a Address) String() string { return a.value }

// Loopback reports whether only this machine can connect, as far as that is known without opening the address: a socket
// that is open already tells when it is. mode is that of unix sockets; one that group or others may write to is not.
func (a Address) Loopback(mode fs.FileMode) bool {
	switch {
	case a.path != "":
		return private(mode)
	case a.tcp != nil:
		return a.tcp.IP.IsLoopback()
	}
	return true
}

// private reports whether only the owner of a unix socket may connect to it.
func private(mode fs.FileMode) bool { return mode.Perm()&0o022 == 0 }

// Listener is an address that has been opened. It accepts connections that are read and written as lib/fdio does.
type Listener struct {
	net.Listener
	// Loopback says that only this machine, or of a unix socket only its owner, can connect.
	Loopback bool
	socket   fs.FileInfo // of a unix socket that this process has made; nil: none
	path     string
}

// Open listens on the address. mode is that of a unix socket.
func (a Address) Open(mode fs.FileMode) (*Listener, error) {
	switch {
	case a.path != "":
		return openUnix(a.path, mode)
	case a.fd >= 0:
		return openFD(a.fd)
	}
	ln, err := net.ListenTCP("tcp", a.tcp)
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: fdio.Listener{Listener: ln}, Loopback: a.tcp.IP.IsLoopback()}, nil
}

// Close stops listening, and removes a unix socket that Open has made, unless somebody else has put another in its
// place.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	if l.socket != nil {
		if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.socket) {
			err = errors.Join(err, os.Remove(l.path))
		}
		l.socket = nil
	}
	return err
}

// URL is what a client on this machine can be given: scheme is "http" or "https".
func (l *Listener) URL(scheme string) string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return scheme + "://" + l.Addr().String() + "/"
}
