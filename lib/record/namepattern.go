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

// matcher makes the pattern of the names that a template gives its files, below its folder: those with a number, and
// partial ones, too.
func matcher(variable string) (*regexp.Regexp, error) {
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
		b.WriteString(number + `(?:\.partial)?`) // which has become the extension
	}
	return regexp.Compile(b.String() + "$")
}

// conversionPattern is the pattern of what a conversion makes of any time: which characters, and how many of them. It is
// found by trying times that differ in all they can.
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

// relative is a path as the manifest tells it: relative to the template's folder.
func (t *Template) relative(path string) string {
	if relative, err := filepath.Rel(t.folder, path); err == nil {
		return relative
	}
	return path
}

// matches reports whether a path, relative to the template's folder, can be that of a finished file.
func (t *Template) matches(relative string) bool { return t.pattern.MatchString(relative) }

// Makes reports whether a path can be that of a recording.
func (t *Template) Makes(path string) bool { return t.matches(t.relative(path)) }

// walk calls found for each regular file that can be this template's, finished or not.
func (t *Template) walk(found func(path string, entry fs.DirEntry)) error {
	root := t.folder + "/" // a symbolic link would not be followed else
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root && !os.IsNotExist(err):
			return err
		case err != nil: // a folder that is not there any more, or nobody's business
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

// finished finds the finished files whose names are this template's, in the order in which they were last written.
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
		return len(a.path) - len(b.path) // by name already; _1000 comes after _999
	})
	return all, err
}

// found is a file that is there.
type found struct {
	path, relative string
	info           fs.FileInfo
}
