package cli

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// notifyHangup closes gone when the reader has closed the pipe whose writing end is f, which is in Go's poller. Waiting
// to read from a writing end ends only when the pipe has no reader, so that the goroutine sleeps until then and costs
// nothing. hungUp is readerGone.
//
// Call stop before f is closed; it returns when the goroutine has ended.
func notifyHangup(f *os.File, gone chan<- struct{}, hungUp func(fd uintptr) bool) (stop func(), err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The poller may end the wait with an error of its own: only poll(2) knows whether the reader has gone.
		_ = raw.Read(hungUp)
		_ = raw.Control(func(fd uintptr) {
			if hungUp(fd) {
				close(gone)
			}
		})
	}()
	return func() {
		_ = f.SetReadDeadline(time.Unix(1, 0))
		<-done
	}, nil
}

// readerGone reports whether the last reader of fd, a pipe or a socket, has gone.
func readerGone(fd uintptr) bool {
	polled := []unix.PollFd{{Fd: int32(fd)}}
	for {
		if _, err := unix.Poll(polled, 0); err != unix.EINTR {
			return polled[0].Revents&hangup != 0
		}
	}
}

// hangup are the events that poll(2) reports, requested or not, of a pipe or a socket without a reader.
const hangup = unix.POLLERR | unix.POLLHUP

// notifyHangupBlocking is notifyHangup for a pipe or a socket in blocking mode: the goroutine sleeps in poll(2), with a
// thread.
func notifyHangupBlocking(fd int, gone chan<- struct{}) (stop func(), err error) {
	wake, err := newSelfPipe()
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		polled := []unix.PollFd{{Fd: int32(fd)}, {Fd: int32(wake.r), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
				return
			}
			if polled[0].Revents&hangup != 0 {
				close(gone)
				return
			}
			if polled[1].Revents != 0 {
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		wake.signal()
		<-done
		wake.close()
	}), nil
}
