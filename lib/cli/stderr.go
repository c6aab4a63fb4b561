package cli

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Stderr is standard error for logs and errors. Its reader may have stopped reading without closing it. A line that
// cannot be written within stderrTimeout is left out, and so are those after it until one can be written: a tool must
// neither stop working nor fail to end because its log is stuck.
var Stderr io.Writer = &timeoutWriter{file: os.Stderr}

const (
	stderrTimeout = 100 // ms
	// pipeRoom is how many bytes a pipe takes without blocking when poll(2) says that it can be written to.
	pipeRoom = 4096
)

type timeoutWriter struct {
	file *os.File

	mu    sync.Mutex
	stuck bool // nothing could be written the last time
}

func (w *timeoutWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := b; len(rest) > 0; {
		if !w.waitWritable() {
			return len(b), nil
		}
		n, err := w.file.Write(rest[:min(len(rest), pipeRoom)])
		if err != nil {
			return len(b) - len(rest) + n, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

// waitWritable waits until something can be written, and reports whether it can.
func (w *timeoutWriter) waitWritable() bool {
	timeout := stderrTimeout
	if w.stuck {
		timeout = 0
	}
	for {
		fds := []unix.PollFd{{Fd: int32(w.file.Fd()), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, timeout)
		if err == unix.EINTR {
			continue
		}
		// If poll fails, the write reports why.
		w.stuck = err == nil && n == 0
		return !w.stuck
	}
}
