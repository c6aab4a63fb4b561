package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/timdrysdale/vw/lib/atomicfile"
)

// listed is what a manifest says.
type listed struct {
	entries []Entry  // in the order of the lines, each with the last state of its command
	raw     [][]byte // the line of each; nil where its Exec has changed since
	files   map[string]bool
	// states has what lines say of commands for files that have no entry.
	states map[fileKey]ExecState
}

// load reads the manifest. It repairs one that is damaged first.
func (m *manifest) load() (listed, error) {
	f, err := m.lock()
	if err != nil {
		return listed{}, fmt.Errorf("read manifest %s: %w", m.path, err)
	}
	defer f.Close() // and releases the lock
	l, isDamaged := readListed(f)
	if isDamaged {
		if err := m.repairLocked(f); err != nil {
			return l, fmt.Errorf("read manifest %s: %w", m.path, err)
		}
		return m.load() // another file now, which needs a lock of its own
	}
	m.live, l.raw = len(l.entries), nil
	return l, nil
}

// readListed reads lines, and reports whether there are bytes that are none.
func readListed(f *os.File) (l listed, isDamaged bool) {
	l.states, l.files = make(map[fileKey]ExecState), make(map[string]bool)
	at := make(map[fileKey]int)
	skipped, err := eachLine(io.NewSectionReader(f, 0, 1<<62), func(line []byte) {
		e, ok := parseLine(line)
		switch i, known := at[e.key()]; {
		case !ok && line[len(line)-1] != '\n' && isTorn(line):
			// It is the last, and the next line that is appended replaces it.
		case !ok:
			isDamaged = true
		case !e.isExecLine():
			raw := append(bytes.TrimSuffix(bytes.Clone(line), []byte("\n")), '\n')
			if state, ok := l.states[e.key()]; ok {
				e.Exec, raw = state, nil
				delete(l.states, e.key())
			}
			at[e.key()] = len(l.entries)
			l.entries = append(l.entries, e)
			l.raw = append(l.raw, raw)
			l.files[e.File] = true
		case known:
			l.entries[i].Exec = e.Exec
			l.raw[i] = nil
		default:
			l.states[e.key()] = e.Exec
		}
	})
	return l, isDamaged || skipped > 0 || err != nil
}

// markDeleted notes that files, named as in the manifest, have been deleted.
func (m *manifest) markDeleted(files ...string) {
	for _, file := range files {
		m.deleted[file]++
		m.stale++
	}
}

const (
	// minStale is how many lines must have become stale before the manifest is rewritten.
	minStale = 16
	// maxLost is how many lines about lost files compaction leaves.
	maxLost = 1000
)

// compact removes the lines of deleted files, and joins lines about commands with the entries of their files, once
// there are enough of them. This bounds the manifest, and each line is copied only a few times.
func (m *manifest) compact() error {
	if m.stale < max(minStale, m.live/4) {
		return nil
	}
	if err := m.rewrite(nil); err != nil {
		return fmt.Errorf("write manifest %s: %w", m.path, err)
	}
	return nil
}

// writeInserts adds the entries that wait to be inserted, each before that of the file that it belongs before, or if
// that has none, before the first that ended later.
func (m *manifest) writeInserts() error {
	if err := m.rewrite(m.inserts); err != nil {
		return err
	}
	m.inserts = nil
	return nil
}

// rewrite replaces the manifest: without the entries of deleted files, with the last state of each command in the entry
// of its file, and with more entries, which have their places. What damage there is, it repairs first.
func (m *manifest) rewrite(more []insert) error {
	f, err := m.lock()
	if err != nil {
		return err
	}
	defer f.Close() // and releases the lock
	atomicfile.RemoveStale(m.path)
	l, isDamaged := readListed(f)
	if isDamaged {
		if err := m.repairLocked(f); err != nil {
			return err
		}
		return m.rewrite(more) // another file now, which needs a lock of its own
	}
	w := &manifestWriter{}
	skipped := make(map[string]int)
	for i := range l.entries {
		e := &l.entries[i]
		if skipped[e.File] < m.deleted[e.File] {
			skipped[e.File]++
			if e.Exec == Lost {
				w.lost(e.key())
			}
			continue
		}
		for j := range more {
			if more[j].before == e.File || more[j].before == "" && e.End.After(more[j].End) {
				w.insert(&more[j], &l)
			}
		}
		w.entry(e, l.raw[i])
	}
	for j := range more {
		w.insert(&more[j], &l)
	}
	for key, state := range l.states {
		if state == Lost {
			w.lost(key)
		}
	}
	if w.err != nil {
		return w.err
	}
	if err := atomicfile.Write(m.path, append(w.losses(), w.entries...), 0o666); err != nil {
		return err
	}
	m.stale, m.live = 0, w.count
	clear(m.deleted)
	return nil
}

// manifestWriter collects the lines of a new manifest.
type manifestWriter struct {
	entries   []byte
	count     int
	lostLines [][]byte
	err       error
}

func (w *manifestWriter) line(line any) []byte {
	b, err := json.Marshal(line)
	w.err = errors.Join(w.err, err)
	return append(b, '\n')
}

// entry adds an entry, as it was where raw is its line.
func (w *manifestWriter) entry(e *Entry, raw []byte) {
	if raw == nil {
		raw = w.line(e)
	}
	w.entries = append(w.entries, raw...)
	w.count++
}

// insert adds an entry that is not in l yet.
func (w *manifestWriter) insert(i *insert, l *listed) {
	if !l.files[i.File] {
		l.files[i.File] = true
		w.entry(&i.Entry, nil)
	}
}

func (w *manifestWriter) lost(key fileKey) {
	w.lostLines = append(w.lostLines, w.line(execLine{key.file, key.sha256, Lost}))
}

// losses returns the newest lines about lost files.
func (w *manifestWriter) losses() (lines []byte) {
	for _, line := range w.lostLines[max(0, len(w.lostLines)-maxLost):] {
		lines = append(lines, line...)
	}
	return lines
}
