package testserver

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// ExpectFile expects each connection with the path ("": any) to carry the bytes of the file. It is compared while they
// come, so that the verdict can say where they part.
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
	return &each{"file", path, func() Observer { return newComparer(name) }, func(s Result) string {
		return s.Watcher.(*comparer).wrong
	}}, nil
}

// checkRegular refuses what is no file, and may have no end.
func checkRegular(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	return err
}

// comparer compares what comes with a file.
type comparer struct {
	name  string
	file  *os.File // nil when there is nothing more to compare
	at    int64    // bytes that are equal so far
	wrong string
}

func newComparer(name string) *comparer {
	f, err := os.Open(name)
	if err != nil {
		return &comparer{name: name, wrong: fmt.Sprintf("the expected file: %v", err)}
	}
	return &comparer{name: name, file: f}
}

// comparisons are buffers for what is read of files; a connection that is silent holds none.
var comparisons = sync.Pool{New: func() any { return new([16 << 10]byte) }}

func (c *comparer) Write(p []byte) {
	buf := comparisons.Get().(*[16 << 10]byte)
	defer comparisons.Put(buf)
	for len(p) > 0 && c.file != nil {
		part := p[:min(len(p), len(buf))]
		n, err := io.ReadFull(c.file, buf[:len(part)])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			c.end(fmt.Sprintf("the expected file: %v", err))
			return
		}
		if !bytes.Equal(part[:n], buf[:n]) {
			i := 0
			for part[i] == buf[i] {
				i++
			}
			at := c.at + int64(i)
			c.end(fmt.Sprintf("differs from %s at %s: 0x%02x instead of 0x%02x", c.name, place(at, c.packet(at)), part[i],
				buf[i]) + dump(buf[:n], i, c.at, part, i, c.at))
			return
		}
		c.at += int64(n)
		if n < len(part) {
			c.end(fmt.Sprintf("goes on after all %d bytes of %s", c.at, c.name) + dump(nil, 0, c.at, part[n:], 0, c.at))
			return
		}
		p = p[n:]
	}
}

// End checks that the file has ended too.
func (c *comparer) End() {
	if c.file == nil {
		return
	}
	info, err := c.file.Stat()
	switch {
	case err != nil:
		c.end(fmt.Sprintf("the expected file: %v", err))
	case info.Size() > c.at:
		next := make([]byte, dumpLength)
		n, _ := c.file.ReadAt(next, c.at)
		c.end(fmt.Sprintf("ends after %d of the %d bytes of %s", c.at, info.Size(), c.name) + dump(next[:n], 0, c.at, nil, 0, c.at))
	default:
		c.end("")
	}
}

// packet returns the start of the expected packet that the byte stands in.
func (c *comparer) packet(at int64) []byte {
	head := make([]byte, 4)
	n, _ := c.file.ReadAt(head, at-at%mpegts.PacketSize) // what cannot be read is not shown
	return head[:n]
}

func (c *comparer) end(wrong string) {
	c.file.Close()
	c.file, c.wrong = nil, wrong
}
