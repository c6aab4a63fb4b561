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
	"github.com/timdrysdale/vw/lib/mpegts"
)

// Entry is one line of the manifest. It describes one file.
type Entry struct {
	File  string    `json:"file"` // relative to the template's folder
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// PTSStart and PTSEnd are the lowest and the highest PTS, in units of 1/90000 s; null if the stream has none.
	PTSStart         *uint64 `json:"pts_start"`
	PTSEnd           *uint64 `json:"pts_end"`
	Bytes            int64   `json:"bytes"`
	Packets          int64   `json:"packets"`
	Frames           int64   `json:"frames"`
	Keyframes        int64   `json:"keyframes"`
	StartsAtKeyframe bool    `json:"starts_at_keyframe"`
	SHA256           string  `json:"sha256"`
	Reason           Reason  `json:"reason"`
	Injected         int64   `json:"injected"`
	Dropped          int64   `json:"dropped"`
	Gaps             int64   `json:"gaps"`
}

// length returns the length of the file by its timestamps, in units of 1/90000 s. It assumes that the last frame is as
// long as the average of the others.
func (e *Entry) length() int64 {
	if e.PTSStart == nil || e.PTSEnd == nil || e.Frames < 2 {
		return 0
	}
	return max(mpegts.ClockDiff(*e.PTSEnd, *e.PTSStart), 0) * e.Frames / (e.Frames - 1)
}

// Reason says why a file ended.
type Reason string

// The reasons for which a file ends. Size, Time and Frames are the limits of rotation, Stop is a limit of the whole
// recording, Partial is a crash.
const (
	Size    Reason = "size"
	Time    Reason = "time"
	Frames  Reason = "frames"
	Stop    Reason = "stop"
	Hangup  Reason = "hangup"
	End     Reason = "end"
	Signal  Reason = "signal"
	Partial Reason = "partial"
	Error   Reason = "error"
)

// manifest is a file of JSON Lines that only grows, but for compaction. It is opened anew for each line, so the user
// may move it away.
type manifest struct {
	path string
	// pending are lines that are not written yet.
	pending []byte
	// since is the modification time of the manifest at start. A younger file without a line may have lost it to a
	// crash. Zero if there was no manifest.
	since time.Time
	// deleted counts for each name how many of its lines, from the first, describe deleted files; deletedLines is the
	// sum.
	deleted      map[string]int
	deletedLines int
}

// openManifest opens a manifest, or creates it. If the error is that the disk is full, the manifest can be used all the
// same.
func openManifest(path string) (*manifest, error) {
	path, err := atomicfile.Resolve(path)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	m := &manifest{path: path, deleted: make(map[string]int)}
	if info, err := os.Stat(path); err == nil {
		m.since = info.ModTime()
	}
	return m, m.flush()
}

// maxPending bounds the bytes of lines that wait for a disk that does not take them. Beyond it they are lost, so that
// memory does not grow for months.
const maxPending = 1 << 20

func (m *manifest) add(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write manifest %s: %w", m.path, err)
	}
	if len(m.pending) > maxPending {
		m.pending = nil
	}
	m.pending = append(append(m.pending, line...), '\n')
	return m.flush()
}

// flush appends the pending lines, all or none, and syncs them. Without any it only checks that it could.
func (m *manifest) flush() error {
	if err := m.append(); err != nil {
		return fmt.Errorf("write manifest %s: %w", m.path, err)
	}
	return nil
}

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
		err = checkSameFile(f, m.path)
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

func (m *manifest) append() (err error) {
	f, err := m.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	size, err := wholeLines(f, info.Size())
	if err != nil {
		return err
	}
	for _, at := range []int64{0, size} {
		if err := checkLine(f, at); err != nil {
			return err
		}
	}
	if size < info.Size() {
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	if len(m.pending) == 0 {
		return nil
	}
	if _, err := f.Write(m.pending); err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	m.pending = nil
	if size == 0 {
		return osDisk{}.SyncDir(filepath.Dir(m.path))
	}
	return nil
}

// checkLine fails if the bytes at an offset, if any, do not look like a line of a manifest: the file is not ours then.
func checkLine(f io.ReaderAt, at int64) error {
	const begin = `{"file":`
	var have [len(begin)]byte
	n, err := f.ReadAt(have[:], at)
	if err != nil && err != io.EOF {
		return err
	}
	if string(have[:n]) != begin[:n] {
		return errors.New("the file is not a manifest")
	}
	return nil
}

// wholeLines returns how many of the first size bytes are whole lines. A crash may have cut off the last one.
func wholeLines(f io.ReaderAt, size int64) (int64, error) {
	var block [4096]byte
	for end := size; end > 0; {
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
