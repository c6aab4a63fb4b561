package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// load reads the manifest: its lines in their order. Lines that cannot be read are nobody's business.
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

// forget says that files, named as in the manifest, have been deleted.
func (m *manifest) forget(files []string) {
	for _, file := range files {
		m.gone[file]++
		m.dead++
	}
}

// minDead is how many lines of deleted files are worth writing the manifest anew.
const minDead = 16

// compact takes the lines of deleted files out, when there are enough of them compared to the live ones: so the manifest
// is bounded, and each line is copied a few times only.
func (m *manifest) compact(live int) error {
	if m.dead < max(minDead, live/4) {
		return nil
	}
	f, err := m.lock()
	if err != nil {
		return err
	}
	defer f.Close() // and with it the lock
	atomicfile.RemoveStale(m.path)
	lines, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read manifest %s: %w", m.path, err)
	}
	left := make([]byte, 0, len(lines))
	skipped := make(map[string]int)
	for line := range bytes.Lines(lines) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && skipped[e.File] < m.gone[e.File] {
			skipped[e.File]++
			continue
		}
		left = append(left, line...)
	}
	if err := atomicfile.Write(m.path, left, 0o666); err != nil {
		return fmt.Errorf("write manifest %s: %w", m.path, err)
	}
	m.dead = 0
	clear(m.gone)
	return nil
}
