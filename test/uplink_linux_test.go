package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unread is how many bytes are in a pipe.
func unread(pipe *os.File) (n int) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// writeAll writes b, and says for how long it had to wait because the pipe was full: the time that a write takes is
// also that of a machine on which it does not get its turn.
func writeAll(pipe *os.File, b []byte) (waited time.Duration, err error) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	var full time.Time
	closed := raw.Write(func(fd uintptr) bool {
		for len(b) > 0 && err == nil {
			var n int
			n, err = unix.Write(int(fd), b)
			b = b[max(n, 0):]
			switch err {
			case unix.EAGAIN:
				if full.IsZero() {
					full = time.Now()
				}
				err = nil
				return false
			case unix.EINTR:
				err = nil
			}
		}
		return true
	})
	if !full.IsZero() {
		waited = time.Since(full)
	}
	return waited, errors.Join(err, closed)
}

// listen listens in the namespace, for a server inside the test.
func (ns *namespace) listen(addr string, rcvbuf int) net.Listener {
	ns.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	open := func(file string) int {
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			ns.t.Fatalf("open %s: %v", file, err)
		}
		return fd
	}
	here, there := open("/proc/thread-self/ns/net"), open("/proc/"+ns.pid+"/ns/net")
	defer unix.Close(here)
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		ns.t.Fatalf("enter a namespace: %v", err)
	}
	defer func() {
		if err := unix.Setns(here, unix.CLONE_NEWNET); err != nil {
			panic(err) // this thread must not go on anywhere else
		}
	}()
	return listenAt(ns.t, addr, rcvbuf)
}

// listenAt listens with a receive buffer of so many bytes for each connection, and with segments as long as they are on
// the internet: with those of loopback, 64 KiB, a small buffer would open and close like a door.
func listenAt(t testing.TB, addr string, rcvbuf int) net.Listener {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbuf),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1448))
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	ln, err := config.Listen(context.Background(), "tcp", addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// status returns a figure of /proc/PID/status, in KiB.
func (p *process) status(name string) int {
	p.t.Helper()
	b := read(p.t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		p.t.Fatalf("no %s in %s", name, b)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// descriptors counts the open files of a process.
func (p *process) descriptors() int {
	p.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(all)
}

// goroutines ends a process and counts its goroutines, without those of Go's own runtime, of which some come with the
// first garbage collection.
func (p *process) goroutines() int {
	p.t.Helper()
	p.signal(unix.SIGQUIT)
	p.wait()
	begun := regexp.MustCompile(`(?m)^created by ([\w./]+)`).FindAllStringSubmatch(p.stderr.String(), -1)
	begun = slices.DeleteFunc(begun, func(m []string) bool { return strings.HasPrefix(m[1], "runtime.") })
	return 1 + len(begun) // main's, which no other thread has created
}
