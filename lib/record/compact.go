package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// load reads the lines of the manifest in order. It skips those that it cannot parse.
func (m *manifest) load() (entries []Entry, err error) {
	f, err := m.lock()
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", m.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", m.path, err)
	}
	for line := range bytes.Lines(lines) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && e.File != "" {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// markDeleted notes that files, named as in the manifest, have been deleted.
func (m *manifest) markDeleted(files []string) {
	for _, file := range files {
		m.deleted[file]++
		m.deletedLines++
	}
}

// minDeleted is how many lines of deleted files must pile up before the manifest is rewritten.
const minDeleted = 16

// compact removes the lines of deleted files once there are enough of them compared to the live ones. This bounds the
// manifest, and each line is copied only a few times.
func (m *manifest) compact(live int) error {
	if m.deletedLines < max(minDeleted, live/4) {
		return nil
	}
	f, err := m.lock()
	if err != nil {
		return err
	}
	defer f.Close() // and releases the lock
	atomicfile.RemoveStale(m.path)
	lines, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read manifest %s: %w", m.path, err)
	}
	left := make([]byte, 0, len(lines))
	skipped := make(map[string]int)
	for line := range bytes.Lines(lines) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && skipped[e.File] < m.deleted[e.File] {
			skipped[e.File]++
			continue
		}
		left = append(left, line...)
	}
	if err := atomicfile.Write(m.path, left, 0o666); err != nil {
		return fmt.Errorf("write manifest %s: %w", m.path, err)
	}
	m.deletedLines = 0
	clear(m.deleted)
	return nil
}
