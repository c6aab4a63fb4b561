package fdio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawCalls counts the system calls of the process since one found nothing to do. After maxRawCalls of them, one is an
// ordinary one: a process that is busy needs the monitoring thread, which preempts, and looks at the poller while there
// is always something else to run.
var rawCalls atomic.Uint32

// descriptor is what is in the poller, for any number of readers and writers, one of each at a time. Its errors are
// io.EOF, a syscall.Errno, os.ErrDeadlineExceeded and os.ErrClosed.
type descriptor struct {
	in, out direction
	control func(step func(fd uintptr)) error // keeps the descriptor open meanwhile, and does not wait
	// Of in or out; made once, so that a call allocates nothing.
	readOnce, writeAll func(fd uintptr) bool
	writeSome          func(fd uintptr)
}

// newDescriptor leaves closing and deadlines to f.
func newDescriptor(f syscall.Conn) (*descriptor, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &descriptor{control: raw.Control}
	d.in = direction{call: syscall.SYS_READ, ordinary: syscall.Read, poll: raw.Read}
	d.out = direction{call: syscall.SYS_WRITE, ordinary: syscall.Write, poll: raw.Write}
	if _, ok := f.(net.Conn); ok { // the same, without what only files need
		d.in.call = unix.SYS_RECVFROM
		d.out.call, d.out.flags = unix.SYS_SENDTO, unix.MSG_NOSIGNAL
	}
	d.readOnce, d.writeAll = d.in.readOnce, d.out.writeAll
	d.writeSome = func(fd uintptr) { d.out.writeAll(fd) }
	return d, nil
}

// read waits until there is something, and reads that.
func (d *descriptor) read(p []byte) (int, error) {
	n, err := d.in.do(p, d.readOnce)
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// write writes all of p, or returns how much it wrote and why not more.
func (d *descriptor) write(p []byte) (int, error) { return d.out.do(p, d.writeAll) }

// tryWrite writes as much of p as is taken without waiting, and returns how much that is. It does not look at
// deadlines.
func (d *descriptor) tryWrite(p []byte) int {
	t := &d.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p, t.n, t.err = p, 0, nil
	_ = d.control(d.writeSome)
	t.p = nil
	return t.n
}

// direction is one direction of a descriptor.
type direction struct {
	call     uintptr // SYS_READ or SYS_WRITE, or those for sockets
	flags    uintptr // of call, where it takes any
	ordinary func(fd int, p []byte) (int, error)
	poll     func(step func(fd uintptr) bool) error // waits and calls step again until that answers true

	mu  sync.Mutex // held by a call from first to last; protects the rest
	p   []byte
	n   int // of p that is done
	err error
}

func (t *direction) do(p []byte, step func(fd uintptr) bool) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p, t.n, t.err = p, 0, nil
	err := t.poll(step)
	t.p = nil
	switch {
	case t.err != nil:
		err = t.err
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = os.ErrDeadlineExceeded
	default:
		err = os.ErrClosed // nothing else ends a wait
	}
	return t.n, err
}

// readOnce reads once. It answers false when there is nothing yet.
func (t *direction) readOnce(fd uintptr) (done bool) {
	t.n, t.err = t.try(fd, t.p)
	if t.err == syscall.EAGAIN {
		t.err = nil
		return false
	}
	return true
}

// writeAll writes what is left. It answers false when no more is taken for now.
func (t *direction) writeAll(fd uintptr) (done bool) {
	for t.n < len(t.p) {
		n, err := t.try(fd, t.p[t.n:])
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			t.err = err
			return true
		}
		t.n += n
	}
	return true
}

// try makes one system call, and again when a signal came in between.
func (t *direction) try(fd uintptr, p []byte) (n int, err error) {
	for {
		if rawCalls.Add(1) > maxRawCalls {
			rawCalls.Store(0)
			n, err = t.ordinary(int(fd), p)
		} else {
			r, _, errno := syscall.RawSyscall6(t.call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
				uintptr(len(p)), t.flags, 0, 0)
			if n, err = int(r), nil; errno != 0 {
				err = errno
			}
		}
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			rawCalls.Store(0)
			return 0, err
		default:
			return 0, err
		}
	}
}
