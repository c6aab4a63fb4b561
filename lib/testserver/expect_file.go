package testserver

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/testserver/internal/bytediff"
)

// ExpectFile expects each connection with the path ("": any) to carry the bytes of the file. They are compared while
// they come, so that the verdict can say where they differ.
func ExpectFile(path, name string) (Expectation, error) {
	err := checkRegular(name)
	if err == nil {
		var f *os.File
		if f, err = os.Open(name); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("expected file: %w", err)
	}
	return &each{"file", path, func() Observer { return newFileComparer(name) }, func(r Result) string {
		return r.Observer.(*fileComparer).mismatch
	}}, nil
}

// checkRegular refuses what is not a regular file: it may have no end.
func checkRegular(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	return err
}

// fileComparer compares what comes with a file.
type fileComparer struct {
	name     string
	file     *os.File // nil: the comparison has ended
	equal    int64    // bytes that are equal so far
	mismatch string
}

func newFileComparer(name string) *fileComparer {
	f, err := os.Open(name)
	if err != nil {
		return &fileComparer{name: name, mismatch: fmt.Sprintf("the expected file: %v", err)}
	}
	return &fileComparer{name: name, file: f}
}

// readBuffers are for what is read of files; a connection that is silent holds none.
var readBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

func (c *fileComparer) Write(p []byte) {
	buf := readBuffers.Get().(*[16 << 10]byte)
	defer readBuffers.Put(buf)
	for len(p) > 0 && c.file != nil {
		n := min(len(p), len(buf))
		c.compare(p[:n], buf[:n])
		p = p[n:]
	}
}

// compare compares the next bytes, for which buf has the length.
func (c *fileComparer) compare(p, buf []byte) {
	n, err := io.ReadFull(c.file, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		c.end(fmt.Sprintf("the expected file: %v", err))
		return
	}
	if !bytes.Equal(p[:n], buf[:n]) {
		i := 0
		for p[i] == buf[i] {
			i++
		}
		at := c.equal + int64(i)
		c.end(fmt.Sprintf("differs from %s at %s: 0x%02x instead of 0x%02x", c.name,
			bytediff.Location(at, c.packetHeader(at)), p[i], buf[i]) + c.dump(buf[:n], p, i))
		return
	}
	c.equal += int64(n)
	if n < len(p) {
		c.end(fmt.Sprintf("goes on after all %d bytes of %s", c.equal, c.name) + c.dump(nil, p[n:], 0))
	}
}

// dump shows the bytes around index i of the file's and the connection's next bytes.
func (c *fileComparer) dump(expected, came []byte, i int) string {
	return bytediff.Dump(bytediff.Side{Bytes: expected, Offset: c.equal, Index: i},
		bytediff.Side{Bytes: came, Offset: c.equal, Index: i})
}

// End checks that the file has ended too.
func (c *fileComparer) End() {
	if c.file == nil {
		return
	}
	info, err := c.file.Stat()
	switch {
	case err != nil:
		c.end(fmt.Sprintf("the expected file: %v", err))
	case info.Size() > c.equal:
		next := make([]byte, bytediff.Length)
		n, _ := c.file.ReadAt(next, c.equal)
		c.end(fmt.Sprintf("ends after %d of the %d bytes of %s", c.equal, info.Size(), c.name) + c.dump(next[:n], nil,
			0))
	default:
		c.end("")
	}
}

// packetHeader returns the header of the expected packet at the offset, as far as it can be read.
func (c *fileComparer) packetHeader(offset int64) []byte {
	header := make([]byte, 4)
	n, _ := c.file.ReadAt(header, offset-offset%mpegts.PacketSize)
	return header[:n]
}

func (c *fileComparer) end(mismatch string) {
	c.file.Close()
	c.file, c.mismatch = nil, mismatch
}
