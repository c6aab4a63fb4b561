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

// leftovers finds the unfinished files of this template, oldest first: what a crash left, and what recorders that still
// run are writing.
func (t *Template) leftovers() ([]tempName, error) {
	var found []tempName
	err := t.walk(func(path string, _ fs.DirEntry) {
		if n, ok := parseTempName(path); ok && n.id == t.id {
			found = append(found, n)
		}
	})
	slices.SortFunc(found, func(a, b tempName) int { return a.start.Compare(b.start) })
	return found, err
}

// below is how many folders below the template's folder a path is.
func (t *Template) below(path string) int {
	if t.folder != "." {
		path = strings.TrimPrefix(strings.TrimPrefix(path, t.folder), "/")
	}
	return strings.Count(path, "/") + 1
}

// keepLeftovers gives what a crash left of earlier files a name. What cannot be kept now stays for the next start.
func (f *finisher) keepLeftovers() {
	found, err := f.template.leftovers()
	if err != nil {
		f.trouble.Warn("leftovers", "looking for unfinished files failed", "err", err)
	}
	for _, n := range found {
		if err := f.keep(n); err != nil && !errors.Is(err, errInUse) && !errors.Is(err, errNotNamed) && !errors.Is(err, fs.ErrNotExist) {
			f.trouble.Warn("leftovers", "an unfinished file could not be kept", "err", err)
		}
	}
}

// keep makes an unfinished file a partial one: cut to whole packets, synced, under a name that says what it is. One in
// which there is nothing is removed.
func (f *finisher) keep(n tempName) error {
	s := &segment{temp: n.String(), raw: n.raw, start: n.start, reason: Partial, length: -1, afterGap: true}
	file, err := os.OpenFile(s.temp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close() // and with it the lock
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
	gaps, err := s.examine()
	if err != nil {
		return fmt.Errorf("examine %s: %w", s.temp, err)
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
	name, err := f.giveName(s.temp, partialName(filepath.Join(n.folder, n.base)))
	if err != nil {
		return err
	}
	if err := f.disk.SyncFolder(n.folder); err != nil {
		return err
	}
	f.log.Warn("kept what a crash left", "file", name, "bytes", s.size)
	return f.enter(name, s)
}
