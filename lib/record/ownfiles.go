package record

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// How a template finds its files.

// relative returns a path relative to the template's folder, as the manifest has it.
func (t *Template) relative(path string) string {
	if relative, err := filepath.Rel(t.folder, path); err == nil {
		return relative
	}
	return path
}

// matches reports whether a path relative to the template's folder is that of a finished file, with or without a
// number, partial or not.
func (t *Template) matches(relative string) bool {
	name := unnumbered(relative)
	return t.pattern.matches(relative) || t.pattern.matches(name) ||
		t.pattern.matches(withoutPartial(relative)) || t.pattern.matches(withoutPartial(name))
}

// Makes reports whether a path can be that of a recording, however it is written.
func (t *Template) Makes(path string) bool {
	relative, err := filepath.Rel(RealPath(t.folder), filepath.Join(RealPath(filepath.Dir(path)), filepath.Base(path)))
	return err == nil && t.matches(relative)
}

// RealPath returns the absolute path of a file without symbolic links, as far as it exists. Two paths of one file have
// the same.
func RealPath(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	missing := ""
	for existing := absolute; ; existing = filepath.Dir(existing) {
		if real, err := filepath.EvalSymlinks(existing); err == nil {
			return filepath.Join(real, missing)
		}
		if existing == filepath.Dir(existing) {
			return absolute
		}
		missing = filepath.Join(filepath.Base(existing), missing)
	}
}

// walk calls found for each regular file in the folders in which the template makes files.
func (t *Template) walk(found func(path string, entry fs.DirEntry)) error {
	root := t.folder + "/" // with the slash it follows a symbolic link
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root && !os.IsNotExist(err):
			return err
		case err != nil: // it was removed meanwhile, or cannot be read
		case entry.IsDir():
			if path != root && t.below(path) > t.nesting {
				return filepath.SkipDir
			}
		case entry.Type().IsRegular():
			found(path, entry)
		}
		return nil
	})
}

// finished returns the finished files with the template's names, ordered by modification time.
func (t *Template) finished() ([]found, error) {
	var all []found
	err := t.walk(func(path string, entry fs.DirEntry) {
		if relative := t.relative(path); t.matches(relative) {
			if info, err := entry.Info(); err == nil {
				all = append(all, found{path: path, relative: relative, info: info})
			}
		}
	})
	slices.SortStableFunc(all, func(a, b found) int {
		if c := a.info.ModTime().Compare(b.info.ModTime()); c != 0 {
			return c
		}
		return len(a.path) - len(b.path) // the walk is ordered by name; _1000 comes after _999
	})
	return all, err
}

// found is a file that exists.
type found struct {
	path, relative string
	info           fs.FileInfo
	before         string // of a file that the manifest lacks: the next one that it has
}

// unlisted returns those of files, which are in the order of their modification times, that the manifest has no line
// of.
func unlisted(files []found, isListed func(relative string) bool) (missing []found) {
	before := ""
	for _, file := range slices.Backward(files) {
		if isListed(file.relative) {
			before = file.relative
			continue
		}
		file.before = before
		missing = append(missing, file)
	}
	slices.Reverse(missing)
	return missing
}
