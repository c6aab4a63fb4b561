package fdio

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// File is an open file that is read and written as this package does. Everything else is the file's own.
type File struct {
	*os.File
	d *descriptor // nil: as an os.File is
}

// NewFile returns f as this package reads and writes it, if f is in the poller. f must have no deadline yet.
func NewFile(f *os.File) *File {
	// Only what is in the poller has deadlines. Anything else may block, and then the scheduler must know.
	if f.SetDeadline(time.Time{}) != nil {
		return &File{File: f}
	}
	d, err := newDescriptor(f)
	if err != nil {
		d = nil
	}
	return &File{f, d}
}

func (f *File) Read(p []byte) (int, error) {
	if f.d == nil {
		return f.File.Read(p)
	}
	n, err := f.d.read(p)
	return n, f.pathError("read", err)
}

func (f *File) Write(p []byte) (int, error) {
	if f.d == nil {
		return f.File.Write(p)
	}
	n, err := f.d.write(p)
	return n, f.pathError("write", err)
}

// TryWrite writes as much of p as is taken without waiting, and returns how much that is: nothing after an error, and
// nothing to what is not in the poller.
func (f *File) TryWrite(p []byte) int {
	if f.d == nil {
		return 0
	}
	return f.d.tryWrite(p)
}

// pathError makes err one as package os has them.
func (f *File) pathError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: err}
}
