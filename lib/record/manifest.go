package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// manifest is a file of JSON Lines that only grows, but for compaction. It is opened anew for each line, so the user
// may move it away. Damage never makes it fail: see repair.
type manifest struct {
	path      string
	throttled Logger
	// pending are lines that are not written yet, inserts entries that belong before lines that are.
	pending []byte
	inserts []insert
	// since is the modification time of the manifest at start. A younger file without a line may have lost it to a
	// crash. Zero if there was no manifest.
	since time.Time
	// deleted counts for each name how many of its lines, from the first, describe deleted files; stale is how many
	// lines compaction would remove, live how many it would leave.
	deleted     map[string]int
	stale, live int
	// repaired says that lines were lost to damage since this was last cleared.
	repaired bool
	// claimed is the locked file of claim; nil: none.
	claimed *os.File
}

// insert is an entry that belongs before that of another file.
type insert struct {
	Entry
	before string // "": at the end of those that are there at the start
}

// resolve makes the folder of a file beside the recording, as those of the recording are made, and returns the path to
// write to.
func resolve(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	return atomicfile.Resolve(path)
}

// openManifest opens a manifest, or creates it. If the error is that the disk is full, the manifest can be used all the
// same.
func openManifest(path string, throttled Logger) (*manifest, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	m := &manifest{path: path, throttled: throttled, deleted: make(map[string]int)}
	if info, err := os.Stat(path); err == nil {
		m.since = info.ModTime()
	}
	f, err := m.lock()
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return m, fmt.Errorf("write manifest %s: %w", path, err)
	}
	return m, nil
}

// maxPending bounds the bytes of lines that wait for a disk that does not take them. Beyond it they are lost, so that
// memory does not grow for months. The next start finds the files without lines.
const maxPending = 1 << 20

// add appends an entry and, if its command is to run, the line that says so. That comes first: if a crash tears the two
// apart, the file has no entry and is found at the next start, and its command is not forgotten.
func (m *manifest) add(e Entry) error {
	state := e.Exec
	e.Exec = ""
	m.live++
	if state == "" {
		return m.appendLines(e)
	}
	m.stale++
	return m.appendLines(execLine{e.File, e.SHA256, state}, e)
}

// setExec appends what became of the command for a file.
func (m *manifest) setExec(key fileKey, state ExecState) error {
	m.stale++
	return m.appendLines(execLine{key.file, key.sha256, state})
}

func (m *manifest) appendLines(lines ...any) error {
	if len(m.pending) > maxPending {
		m.throttled.Warn("manifest", "lines of the manifest given up; the disk did not take them", "bytes",
			len(m.pending))
		m.pending = nil
	}
	for _, line := range lines {
		b, err := json.Marshal(line)
		if err != nil {
			return fmt.Errorf("write manifest %s: %w", m.path, err)
		}
		m.pending = append(append(m.pending, b...), '\n')
	}
	return m.flush()
}

// flush writes what is pending, and repairs the manifest if it is damaged.
func (m *manifest) flush() error {
	err := m.writePending()
	if errors.Is(err, errDamaged) {
		if err = m.repair(); err == nil {
			err = m.writePending()
		}
	}
	if err == nil && len(m.inserts) > 0 {
		err = m.writeInserts()
	}
	if err != nil {
		return fmt.Errorf("write manifest %s: %w", m.path, err)
	}
	return nil
}

// isWritten reports whether nothing waits to be written.
func (m *manifest) isWritten() bool { return len(m.pending) == 0 && len(m.inserts) == 0 }

// lock opens and locks the manifest, which several recorders may share. Without locks on this file system lines stay
// whole all the same, because each append is one write.
func (m *manifest) lock() (*os.File, error) {
	for {
		f, err := os.OpenFile(m.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
		if err != nil {
			return nil, err
		}
		for unix.Flock(int(f.Fd()), unix.LOCK_EX) == unix.EINTR {
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("not a regular file")
		}
		if err == nil {
			err = checkSameFile(f, m.path)
		}
		if err == nil {
			return f, nil
		}
		_ = f.Close() // nothing was written to it
		if !errors.Is(err, errReplaced) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		// Another recorder has replaced it meanwhile.
	}
}

// writePending appends the pending lines, all or none, and syncs them. It fails with errDamaged if the file does not
// begin and end as a manifest.
func (m *manifest) writePending() (err error) {
	if len(m.pending) == 0 {
		return nil
	}
	f, err := m.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size, lines, err := m.checkEnds(f, info.Size())
	if err != nil {
		return err
	}
	if size < info.Size() {
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	if err := appendSynced(f, size, append(lines, m.pending...)); err != nil {
		return err
	}
	m.pending = nil
	if size == 0 {
		return osDisk{}.SyncDir(filepath.Dir(m.path))
	}
	return nil
}

// appendSynced appends b to a file of the given size and syncs it. After an error the file has nothing of it: the
// caller will write it again, also where only the sync has failed.
func appendSynced(f appendFile, size int64, b []byte) error {
	_, err := f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// appendFile is what appendSynced needs of a file.
type appendFile interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
}

// checkEnds looks at both ends of the file. A crash may have cut the last line off: size is where the whole ones end.
// If that last line lacks only its newline, lines has it.
func (m *manifest) checkEnds(f io.ReaderAt, end int64) (size int64, lines []byte, err error) {
	head := make([]byte, min(end, int64(len(lineStart))))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return 0, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if string(head) != lineStart[:len(head)] {
		return 0, nil, errDamaged
	}
	size, err = wholeLines(f, end)
	if err != nil || end-size > maxLine {
		return 0, nil, errors.Join(errDamaged, err)
	}
	tail := make([]byte, end-size)
	if _, err := f.ReadAt(tail, size); err != nil && err != io.EOF {
		return 0, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if _, ok := parseLine(tail); ok {
		return size, append(tail, '\n'), nil
	}
	if !isTorn(tail) {
		return 0, nil, errDamaged
	}
	return size, nil, nil
}

// isTorn reports whether b can be the beginning of a line that a crash has cut off.
func isTorn(b []byte) bool {
	n := min(len(b), len(lineStart))
	return string(b[:n]) == lineStart[:n] && bytes.IndexByte(b, 0) < 0
}

// wholeLines returns how many of the first size bytes are whole lines.
func wholeLines(f io.ReaderAt, size int64) (int64, error) {
	var block [4096]byte
	for end := size; end > max(size-2*maxLine, 0); {
		start := max(end-int64(len(block)), 0)
		b := block[:end-start]
		if _, err := io.ReadFull(io.NewSectionReader(f, start, end-start), b); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}
