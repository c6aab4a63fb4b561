//go:build !linux

package cli

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	ioctlGetTermios = unix.TIOCGETA
	// pipeBuf is how much a pipe takes without blocking when poll(2) says that it takes something: PIPE_BUF.
	pipeBuf = 512
)

// reopen is for Linux: opening /dev/fd/N elsewhere duplicates the descriptor, with the mode that others share.
func reopen(int, int, string) (*os.File, error) { return nil, errors.ErrUnsupported }

// growPipe is for Linux: elsewhere the size of a pipe cannot be set.
func growPipe(int, int) {}

func dup2(from, to int) error { return unix.Dup2(from, to) }
