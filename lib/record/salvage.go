package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// A damaged manifest or playlist must not stop a recording. What is readable is kept, the damaged file is put aside as
// NAME.damaged-N, and what was lost is rebuilt from the files.

// errDamaged says that a manifest has bytes that are no lines of it.
var errDamaged = errors.New("the manifest is damaged")

// maxLine bounds the line of a manifest.
const maxLine = 1 << 20

// eachLine calls f for each line of r, newline included, of the last one what is there. It passes over lines that are
// too long to be one of a manifest, and returns how many bytes these have.
func eachLine(r io.Reader, f func(line []byte)) (skipped int64, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	isLong := false
	for {
		part, err := lines.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			skipped += int64(len(line))
			line, isLong = line[:0], true
		}
		if isLong {
			skipped += int64(len(part))
		} else {
			line = append(line, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if len(line) > 0 {
			f(line)
		}
		line, isLong = line[:0], false
		if err == io.EOF {
			return skipped, nil
		}
		if err != nil {
			return skipped, err
		}
	}
}

// salvaged is what can be read of a manifest.
type salvaged struct {
	lines []byte // the good ones, as they are
	count int
	lost  int64 // bytes that belong to no good line
	torn  bool  // the last line was cut off, as a crash does
}

// salvage reads all good lines of a manifest.
func salvage(r io.Reader) salvaged {
	var s salvaged
	skipped, err := eachLine(r, func(line []byte) {
		s.torn = isTorn(line) && line[len(line)-1] != '\n'
		// A power cut can leave zeros in front of a line that was appended afterwards.
		good := bytes.Trim(line, "\x00 \t\r\n")
		if _, ok := parseLine(good); ok {
			s.lines = append(append(s.lines, good...), '\n')
			s.count++
			s.torn = false
			s.lost += int64(len(line) - len(good))
			if line[len(line)-1] == '\n' {
				s.lost--
			}
			return
		}
		s.lost += int64(len(line))
	})
	s.lost += skipped
	if err != nil {
		s.lost++ // who knows how much
	}
	return s
}

// repair puts a damaged manifest aside and keeps its good lines.
func (m *manifest) repair() error {
	f, err := m.lock()
	if err != nil {
		return err
	}
	defer f.Close() // and releases the lock
	return m.repairLocked(f)
}

func (m *manifest) repairLocked(f *os.File) error {
	s := salvage(io.NewSectionReader(f, 0, 1<<62))
	aside, err := putAside(f, m.path)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(m.path, s.lines, 0o666); err != nil {
		_ = os.Remove(aside) // else each attempt would leave one
		return err
	}
	m.repaired = true
	m.throttled.Warn("damaged", "manifest damaged; its good lines are kept, and lines of files without one are rebuilt",
		"file", m.path, "lines", s.count, "lost_bytes", s.lost, "put_aside", aside)
	return nil
}

// damagedPattern matches the names under which putAside keeps the damaged files of a path.
func damagedPattern(path string) string { return path + ".damaged-*" }

// putAside gives the contents of f, the file of a path, a second name, which it returns.
func putAside(f *os.File, path string) (string, error) {
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.damaged-%d", path, n)
		err := os.Link(path, aside)
		if err != nil && !errors.Is(err, fs.ErrExist) && !isFull(err) {
			err = copyAside(f, aside) // the file system has no hard links
		}
		switch {
		case err == nil:
			return aside, osDisk{}.SyncDir(filepath.Dir(path))
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("put the damaged file aside: %w", err)
		}
	}
}

// copyAside copies what can be read of f to a new file.
func copyAside(f *os.File, path string) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	w := &errWriter{w: to}
	_, _ = io.Copy(w, io.NewSectionReader(f, 0, 1<<62)) // what cannot be read stays unread
	err = errors.Join(w.err, to.Sync(), to.Close())
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// errWriter remembers an error of its writer, to distinguish it from one of the reader.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.err = err
	return n, err
}
