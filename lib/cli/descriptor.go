package cli

import (
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor reads or writes a file descriptor in blocking mode, so that a deadline or Close ends a call that waits: it
// waits in poll(2), together with a pipe of its own. It is for what cannot be opened a second time; the mode of the
// open file description must not change, because other processes share it.
//
// A deadline or Close may fail to end a call if another process reads the same input: poll(2) reports that there is
// something to read, and the other process may read it first.
type descriptor struct {
	fd   int
	name string
	mode uint32 // S_IFIFO, S_IFSOCK, …

	// call is held during a Read or a Write, so that Close can wait for its end.
	call sync.Mutex
	// polled is an argument of poll(2), kept so that waiting allocates nothing. Protected by call.
	polled [2]unix.PollFd

	mu       sync.Mutex // protects the rest; taken after call, never before
	deadline time.Time
	closed   bool
	wake     selfPipe
}

func newDescriptor(fd int, name string, mode uint32) (*descriptor, error) {
	wake, err := newSelfPipe()
	if err != nil {
		return nil, err
	}
	return &descriptor{fd: fd, name: name, mode: mode & unix.S_IFMT, wake: wake}, nil
}

// poll waits for one of the events. It fails with os.ErrDeadlineExceeded or os.ErrClosed. d.call is held.
func (d *descriptor) poll(events int16) error {
	for {
		timeout, err := d.pollTimeout()
		if err != nil {
			return err
		}
		d.polled = [2]unix.PollFd{{Fd: int32(d.fd), Events: events}, {Fd: int32(d.wake.r), Events: unix.POLLIN}}
		if _, err := unix.Poll(d.polled[:], timeout); err != nil && err != unix.EINTR {
			return err
		}
		if d.polled[1].Revents != 0 {
			d.wake.drain()
			continue
		}
		if d.polled[0].Revents != 0 {
			return nil
		}
	}
}

// pollTimeout returns how long to wait, in milliseconds; -1 means for ever.
func (d *descriptor) pollTimeout() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, os.ErrClosed
	}
	if d.deadline.IsZero() {
		return -1, nil
	}
	left := time.Until(d.deadline)
	if left <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return int(min((left+time.Millisecond-1)/time.Millisecond, math.MaxInt32)), nil
}

func (d *descriptor) Read(p []byte) (int, error) {
	d.call.Lock()
	defer d.call.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := d.poll(unix.POLLIN); err != nil {
			return 0, d.pathError("read", err)
		}
		n, err := unix.Read(d.fd, p)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return 0, d.pathError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (d *descriptor) Write(p []byte) (int, error) {
	d.call.Lock()
	defer d.call.Unlock()
	written := 0
	for written < len(p) {
		if err := d.poll(unix.POLLOUT); err != nil {
			return written, d.pathError("write", err)
		}
		n, err := d.writeSome(p[written:])
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return written, d.pathError("write", err)
		}
		written += max(n, 0)
	}
	return written, nil
}

// writeSome writes what does not block once poll(2) has answered: to a pipe that is pipeBuf bytes (as long as no other
// process writes to it), to a socket whatever it takes. Files and devices take all.
func (d *descriptor) writeSome(p []byte) (int, error) {
	switch d.mode {
	case unix.S_IFIFO:
		return unix.Write(d.fd, p[:min(len(p), pipeBuf)])
	case unix.S_IFSOCK:
		return unix.SendmsgN(d.fd, p, nil, nil, unix.MSG_DONTWAIT)
	default:
		return unix.Write(d.fd, p)
	}
}

func (d *descriptor) pathError(op string, err error) error {
	return &fs.PathError{Op: op, Path: d.name, Err: err}
}

func (d *descriptor) SetReadDeadline(t time.Time) error  { return d.setDeadline(t) }
func (d *descriptor) SetWriteDeadline(t time.Time) error { return d.setDeadline(t) }

func (d *descriptor) setDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	d.deadline = t
	d.wake.signal()
	return nil
}

// Close ends a call that waits, and waits for it.
func (d *descriptor) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return os.ErrClosed
	}
	d.closed = true
	d.wake.signal()
	d.mu.Unlock()

	d.call.Lock()
	defer d.call.Unlock()
	d.wake.close()
	return unix.Close(d.fd)
}

// selfPipe is a pipe that ends a poll(2).
type selfPipe struct{ r, w int }

func newSelfPipe() (selfPipe, error) {
	var p [2]int
	// Without the lock a program that is started in between would inherit the pipe.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return selfPipe{}, os.NewSyscallError("pipe", err)
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return selfPipe{}, os.NewSyscallError("fcntl", err)
		}
	}
	return selfPipe{p[0], p[1]}, nil
}

// signal makes r readable. It fails only if the pipe is full, and then r is readable already.
func (w selfPipe) signal() { _, _ = unix.Write(w.w, []byte{0}) }

func (w selfPipe) drain() {
	var b [16]byte
	for {
		if n, err := unix.Read(w.r, b[:]); n < len(b) && err != unix.EINTR {
			return
		}
	}
}

func (w selfPipe) close() {
	_ = unix.Close(w.r)
	_ = unix.Close(w.w)
}
