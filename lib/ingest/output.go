package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// outputPause is the time between two tries of a write that fails, with Live.
const outputPause = time.Second

// retryWriter retries a write that fails, with Live. It continues where the write failed, so that no packet is torn.
// The queue drops what becomes too old or exceeds the buffer meanwhile.
type retryWriter struct {
	io.Writer
	pause time.Duration
	done  <-chan struct{} // ends the retries
	warn  func(msg string, args ...any)
}

func (o *retryWriter) Write(p []byte) (n int, err error) {
	for {
		var more int
		more, err = o.Writer.Write(p[n:])
		n += more
		if err == nil || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		o.warn("output failed, and is tried again", "err", err)
		select {
		case <-time.After(o.pause):
		case <-o.done:
			return n, err
		}
	}
}

// TryWrite writes what can be written without waiting, and returns how many bytes that was.
func (o *retryWriter) TryWrite(p []byte) int {
	if w, ok := o.Writer.(interface{ TryWrite(p []byte) int }); ok {
		return w.TryWrite(p)
	}
	return 0
}

// outputError returns why the output failed.
func outputError(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return ErrOutputGone
	}
	return fmt.Errorf("write the stream: %w", err)
}
