package ingest

import (
	"errors"
	"fmt"
	"syscall"
)

// outputError says why the output took no more.
func outputError(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return ErrOutputGone
	}
	return fmt.Errorf("write the stream: %w", err)
}
