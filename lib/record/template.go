package record

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/ncruces/go-strftime"
)

// Template names files by the time at which they begin. It is a path with strftime conversions, in UTC.
type Template struct {
	text string
	// folder is the part of the path before the first element with a conversion. All files are in it, or at most
	// nesting levels below it.
	folder  string
	nesting int
	// id distinguishes this template's temporary files from those of other templates in the same folder.
	id string
	// pattern recognises the names of its files, relative to folder.
	pattern *namePattern
}

// ParseTemplate parses a template. The error says what is wrong with it.
func ParseTemplate(text string) (*Template, error) {
	if text == "" {
		return nil, errors.New("the template is empty")
	}
	first := len(text)
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			continue
		}
		first = min(first, i)
		n, err := conversion(text[i:])
		if err != nil {
			return nil, fmt.Errorf("template %q: %w", text, err)
		}
		i += n - 1
	}
	variable := text[strings.LastIndexByte(text[:first], '/')+1:]
	t := &Template{text: text, folder: filepath.Dir(text[:first] + "x")}
	sum := sha256.Sum256([]byte(variable))
	t.id = hex.EncodeToString(sum[:4])
	rendered := t.Path(time.Unix(0, 0))
	t.nesting = strings.Count(filepath.Clean(rendered[len(text)-len(variable):]), "/")
	switch base := filepath.Base(rendered); {
	case strings.HasSuffix(rendered, "/"), base == ".", base == "..":
		return nil, fmt.Errorf("template %q names a folder, not a file", text)
	case strings.ContainsFunc(rendered, unicode.IsControl):
		return nil, fmt.Errorf("template %q makes a name with a control character", text)
	}
	t.pattern = newNamePattern(variable)
	return t, nil
}

// conversion returns the length of the conversion at the beginning of s.
func conversion(s string) (int, error) {
	n := 1
	if n < len(s) && strings.IndexByte("-:", s[n]) >= 0 {
		n++
	}
	if n < len(s) && strings.IndexByte("EO", s[n]) >= 0 {
		n++
	}
	if n == len(s) {
		return 0, fmt.Errorf("%q is cut off", s)
	}
	n++
	// strftime copies a conversion that it does not know.
	if strftime.Format(s[:n], time.Unix(0, 0).UTC()) == s[:n] {
		return 0, fmt.Errorf("unknown conversion %q", s[:n])
	}
	return n, nil
}

// Path returns the name of a file that begins at the given time.
func (t *Template) Path(at time.Time) string { return strftime.Format(t.text, at.UTC()) }

// String returns the template as it was given.
func (t *Template) String() string { return t.text }

// numbered puts _001, _002, … before the extension of a path; 0 leaves it as it is.
func numbered(path string, n int) string {
	if n == 0 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s_%03d%s", strings.TrimSuffix(path, ext), n, ext)
}

// partialName returns the name for what a crash left of a file with the given name.
func partialName(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + ".partial" + ext
}
