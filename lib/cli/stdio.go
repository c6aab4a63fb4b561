package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/fdio"
)

// pipeSize is what the pipe of standard input is made to hold, where that can be set: a writer that is faster for a
// moment need not wait, and reads are larger.
const pipeSize = 1 << 20

// Input is standard input.
//
// A pipe is read through Go's poller, where the system allows it: a blocking read keeps a processor and has it looked
// at all the time, which at camera bitrates is a quarter of all CPU. For that it is opened a second time, because the
// description that the shell passed is shared with other processes and must stay blocking.
type Input struct {
	file interface {
		Read([]byte) (int, error)
		SetReadDeadline(time.Time) error
		Close() error
	}
}

// OpenStdin takes standard input over: file descriptor 0 is /dev/null from then on, so that Close closes the last
// descriptor of a pipe, and its writer gets EPIPE at once. It refuses a terminal and a closed descriptor, with a hint.
func OpenStdin() (*Input, error) {
	in, err := openInput(unix.Stdin)
	if err != nil {
		return nil, err
	}
	if err := replaceByNull(unix.Stdin, unix.O_RDONLY); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func inputHint() string {
	return "pipe a stream in: ffmpeg -i … -f mpegts - | " + filepath.Base(os.Args[0]) + " …"
}

func openInput(fd int) (*Input, error) {
	const name = "standard input"
	mode, access, err := inspect(fd)
	switch {
	case errors.Is(err, unix.EBADF) || err == nil && access == unix.O_RDWR && isNull(fd):
		// Go's runtime opens /dev/null, for reading and writing, in place of a closed descriptor; a shell's </dev/null
		// is for reading only.
		return nil, WithHint(errors.New("standard input is closed"), inputHint())
	case err != nil:
		return nil, fmt.Errorf("examine %s: %w", name, err)
	case isTerminal(fd):
		return nil, WithHint(errors.New("standard input is a terminal"), inputHint())
	case access == unix.O_WRONLY:
		return nil, WithHint(errors.New("standard input is not open for reading"), inputHint())
	}
	if mode&unix.S_IFMT == unix.S_IFIFO {
		growPipe(fd, pipeSize)
		if f, err := reopen(fd, unix.O_RDONLY, name); err == nil {
			return &Input{fdio.NewFile(f)}, nil
		}
	}
	d, err := duplicate(fd, name, mode)
	if err != nil {
		return nil, err
	}
	return &Input{d}, nil
}

// Read reads as any io.Reader.
func (in *Input) Read(p []byte) (int, error) { return in.file.Read(p) }

// SetReadDeadline ends a Read that waits at t, or at once if t is past, with os.ErrDeadlineExceeded.
func (in *Input) SetReadDeadline(t time.Time) error { return in.file.SetReadDeadline(t) }

// Close ends a Read that waits, with os.ErrClosed, and gives standard input up: the writer of a pipe gets EPIPE.
func (in *Input) Close() error { return in.file.Close() }

// Output is standard output for stream data. A pipe is written through the poller, as Input says.
type Output struct {
	file interface {
		Write([]byte) (int, error)
		SetWriteDeadline(time.Time) error
		Close() error
	}
	gone      chan struct{}
	stopWatch func()
}

// OpenStdout takes standard output over: file descriptor 1 is /dev/null from then on, so that nothing but the stream
// gets into the stream. It refuses a terminal, with a hint.
func OpenStdout() (*Output, error) {
	out, err := openOutput(unix.Stdout)
	if err != nil {
		return nil, err
	}
	if err := CloseStdout(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// CheckStdout refuses a standard output that is closed, for a tool that writes text there: Go's runtime opens /dev/null
// in its place, which would take everything. (A parent that opens /dev/null for reading and writing looks the same.)
func CheckStdout(hint string) error {
	_, access, err := inspect(unix.Stdout)
	return checkOutput(unix.Stdout, access, err, hint)
}

// checkOutput judges what inspect has returned.
func checkOutput(fd, access int, err error, hint string) error {
	switch {
	case errors.Is(err, unix.EBADF) || err == nil && access == unix.O_RDWR && isNull(fd):
		// As with standard input: what the runtime opened would swallow the stream, and all would count as delivered.
		return WithHint(errors.New("standard output is closed"), hint)
	case err != nil:
		return fmt.Errorf("examine standard output: %w", err)
	case access == unix.O_RDONLY:
		return WithHint(errors.New("standard output is not open for writing"), hint)
	}
	return nil
}

const outputHint = "pipe it into vw-push or vw-record, or redirect it to a file"

func openOutput(fd int) (*Output, error) {
	const name = "standard output"
	mode, access, err := inspect(fd)
	if err := checkOutput(fd, access, err, outputHint); err != nil {
		return nil, err
	}
	if isTerminal(fd) {
		return nil, WithHint(errors.New("standard output is a terminal, and a stream is binary"), outputHint)
	}
	out := &Output{gone: make(chan struct{}), stopWatch: func() {}}
	if mode&unix.S_IFMT == unix.S_IFIFO {
		if f, err := reopen(fd, unix.O_WRONLY, name); err == nil {
			out.file = fdio.NewFile(f)
			if out.stopWatch, err = notifyHangup(f, out.gone, readerGone); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return out, nil
		}
	}
	// A regular file must never be opened again: the new description would have its own offset, and no O_APPEND.
	d, err := duplicate(fd, name, mode)
	if err != nil {
		return nil, err
	}
	out.file = d
	if d.mode == unix.S_IFIFO || d.mode == unix.S_IFSOCK {
		if out.stopWatch, err = notifyHangupBlocking(d.fd, out.gone); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return out, nil
}

// Write writes all of p, or returns an error: one that is syscall.EPIPE when the reader has gone.
func (out *Output) Write(p []byte) (int, error) { return out.file.Write(p) }

// TryWrite writes as much of p as is taken without waiting, and returns how much that is: 0 after an error, which the
// next Write returns, and 0 where a write could wait.
func (out *Output) TryWrite(p []byte) int {
	if f, ok := out.file.(*fdio.File); ok {
		return f.TryWrite(p)
	}
	return 0
}

// SetWriteDeadline ends a Write that waits at t, or at once if t is past, with os.ErrDeadlineExceeded and how much it
// has written. A Write to a regular file or a device cannot be ended, and Close waits for it.
func (out *Output) SetWriteDeadline(t time.Time) error { return out.file.SetWriteDeadline(t) }

// Gone is closed when the reader of a pipe or the peer of a socket has gone, while nothing is written too. For anything
// else it stays open.
func (out *Output) Gone() <-chan struct{} { return out.gone }

// Close ends a Write that waits, with os.ErrClosed, and gives standard output up: the reader of a pipe sees its end.
func (out *Output) Close() error {
	out.stopWatch()
	return out.file.Close()
}

// CloseStdout makes standard output /dev/null, for a tool that writes nothing there: inside >( ) it is the standard
// input of the next tool in the pipeline, which would wait for its end.
func CloseStdout() error { return replaceByNull(unix.Stdout, unix.O_WRONLY) }

// inspect returns the mode of the file of fd, and how it is open: O_RDONLY, O_WRONLY or O_RDWR.
func inspect(fd int) (mode uint32, access int, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return 0, 0, err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return uint32(stat.Mode), flags & unix.O_ACCMODE, err
}

func isNull(fd int) bool {
	var file, null unix.Stat_t
	return unix.Fstat(fd, &file) == nil && unix.Stat(os.DevNull, &null) == nil &&
		file.Mode&unix.S_IFMT == unix.S_IFCHR && file.Rdev == null.Rdev
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
	return err == nil
}

// duplicate returns a descriptor for the same description, closed in programs that are started.
func duplicate(fd int, name string, mode uint32) (*descriptor, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, unix.Stderr+1)
	if err != nil {
		return nil, fmt.Errorf("duplicate %s: %w", name, err)
	}
	d, err := newDescriptor(dup, name, mode)
	if err != nil {
		_ = unix.Close(dup)
		return nil, fmt.Errorf("duplicate %s: %w", name, err)
	}
	return d, nil
}

// replaceByNull makes fd /dev/null. It stays open, because the next file opened would get its number and be taken for
// standard input or output.
func replaceByNull(fd, access int) error {
	null, err := unix.Open(os.DevNull, access|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	if err := dup2(null, fd); err != nil {
		return fmt.Errorf("replace file descriptor %d: %w", fd, err)
	}
	return nil
}
