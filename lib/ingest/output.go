package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// outputPause is how long a write that failed waits for its next try, with Live.
const outputPause = time.Second

// patientOutput outlives errors, as Live has it. The rest of what could not be written is tried again, so that no packet
// is torn; what becomes too old or too much meanwhile is dropped where it waits, in the queue.
type patientOutput struct {
	io.Writer
	pause time.Duration
	over  <-chan struct{} // closed when nothing must be waited for any more
	warn  func(msg string, args ...any)
}

func (o *patientOutput) Write(p []byte) (n int, err error) {
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
		case <-o.over:
			return n, err
		}
	}
}

// outputError says why the output took no more.
func outputError(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return ErrOutputGone
	}
	return fmt.Errorf("write the stream: %w", err)
}
