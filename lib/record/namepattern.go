package record

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-strftime"
)

// namePattern compiles a pattern for the names that a template makes, relative to its folder, including numbered and
// partial ones.
func namePattern(variable string) (*regexp.Regexp, error) {
	dot := strings.LastIndexByte(variable, '.')
	if dot < strings.LastIndexByte(variable, '/') {
		dot = -1
	}
	const number = `(?:_[0-9]{3,})?`
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(variable); {
		if variable[i] == '%' {
			n, err := conversion(variable[i:])
			if err != nil {
				return nil, err
			}
			b.WriteString(conversionPattern(variable[i : i+n]))
			i += n
			continue
		}
		if i == dot {
			b.WriteString(`(?:\.partial)?` + number)
		}
		b.WriteString(regexp.QuoteMeta(variable[i : i+1]))
		i++
	}
	if dot < 0 {
		b.WriteString(number + `(?:\.partial)?`) // after ".partial", which has become the extension
	}
	return regexp.Compile(b.String() + "$")
}

// conversionPattern returns a pattern for the output of a conversion: its characters and its length. It tries times
// that differ in every field.
func conversionPattern(conversion string) string {
	var chars string
	shortest, longest := 1<<10, 0
	times := []time.Time{time.Unix(0, 0), time.Date(2026, 12, 31, 23, 59, 59, 999999999, time.UTC)}
	for month := range 12 {
		for day := range 7 {
			times = append(times, time.Date(2024, time.Month(month+1), day*4+1, day*3, 1, 2, 123456789, time.UTC))
		}
	}
	for _, at := range times {
		text := strftime.Format(conversion, at.UTC())
		shortest, longest = min(shortest, len(text)), max(longest, len(text))
		for _, r := range text {
			class := regexp.QuoteMeta(string(r))
			switch {
			case '0' <= r && r <= '9':
				class = "0-9"
			case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
				class = "a-zA-Z"
			case r == '-':
				class = `\-`
			}
			if !strings.Contains(chars, class) {
				chars += class
			}
		}
	}
	return fmt.Sprintf("[%s]{%d,%d}", chars, shortest, longest)
}

// relative returns a path relative to the template's folder, as the manifest has it.
func (t *Template) relative(path string) string {
	if relative, err := filepath.Rel(t.folder, path); err == nil {
		return relative
	}
	return path
}

// matches reports whether a path relative to the template's folder can be that of a finished file.
func (t *Template) matches(relative string) bool { return t.pattern.MatchString(relative) }

// Makes reports whether a path can be that of a recording.
func (t *Template) Makes(path string) bool { return t.matches(t.relative(path)) }

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
				all = append(all, found{path, relative, info})
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
}
