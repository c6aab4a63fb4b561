package record

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unfinished returns the unfinished files of this template, oldest first. A crash left them, or other recorders are
// writing them.
func (t *Template) unfinished() ([]tempName, error) {
	var found []tempName
	err := t.walk(func(path string, _ fs.DirEntry) {
		if n, ok := parseTempName(path); ok && n.id == t.id {
			found = append(found, n)
		}
	})
	slices.SortFunc(found, func(a, b tempName) int { return a.start.Compare(b.start) })
	return found, err
}

// below returns how many levels below the template's folder a path is.
func (t *Template) below(path string) int {
	if t.folder != "." {
		path = strings.TrimPrefix(strings.TrimPrefix(path, t.folder), "/")
	}
	return strings.Count(path, "/") + 1
}

// recoverPartials gives names to the unfinished files that a crash left. Those that it cannot recover stay for the next
// start.
func (f *finalizer) recoverPartials() {
	found, err := f.template.unfinished()
	if err != nil {
		f.throttled.Warn("recover", "unfinished files not found", "err", err)
	}
	for _, n := range found {
		err := f.recoverPartial(n)
		belongsToOther := errors.Is(err, errInUse) || errors.Is(err, errReplaced) || errors.Is(err, fs.ErrNotExist)
		if err != nil && !belongsToOther {
			f.throttled.Warn("recover", "unfinished file not recovered", "err", err)
		}
	}
}

// recoverPartial turns an unfinished file into a partial one: cut to whole packets, synced, named NAME.partial.ts. It
// removes a file without content.
func (f *finalizer) recoverPartial(n tempName) error {
	s := &segment{temp: n.String(), raw: n.raw, start: n.start, reason: Partial, length: -1, afterGap: true}
	file, err := os.OpenFile(s.temp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close() // and releases the lock
	if err := lock(file, s.temp); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	s.end = info.ModTime()
	if f.hashed() {
		s.hash = sha256.New()
	}
	gaps, err := s.rescan()
	if err != nil {
		return fmt.Errorf("read %s: %w", s.temp, err)
	}
	s.injected, s.gaps = min(n.injected, s.size)+gaps.bytes, gaps.gaps
	if s.empty() {
		return f.disk.Remove(s.temp)
	}
	if info.Size() > s.size {
		if err := file.Truncate(s.size); err != nil {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return err
	}
	name, err := f.assignName(s.temp, partialName(filepath.Join(n.folder, n.base)))
	if err != nil {
		return err
	}
	if err := f.disk.SyncDir(n.folder); err != nil {
		f.postpone(name, s)
		return err
	}
	f.log.Warn("unfinished file of a crash recovered", "file", name, "bytes", s.size)
	return f.index(name, s)
}
