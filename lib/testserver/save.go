package testserver

import (
	"fmt"
	"os"
	"strings"
)

// savedFolder is where connections are saved. A file cannot get outside of it, whatever a path is.
type savedFolder struct {
	name string
	root *os.Root
}

func openSaved(name string) (*savedFolder, error) {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return nil, fmt.Errorf("save: %w", err)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("save: %w", err)
	}
	return &savedFolder{name, root}, nil
}

func (s *savedFolder) close() { s.root.Close() }

func (s *savedFolder) create(id int, path string) (*savedFile, error) {
	f, err := s.root.Create(fileName(id, path))
	if err != nil {
		return nil, fmt.Errorf("save to %s: %w", s.name, err)
	}
	return &savedFile{f}, nil
}

// longestName is how many bytes of a path are in a file's name.
const longestName = 100

// fileName is the number, and what a file's name may have of the path: letters, digits, dots, hyphens and underscores.
func fileName(id int, path string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, strings.TrimSuffix(path, ".ts"))
	name = strings.Trim(name[:min(len(name), longestName)], "-.")
	if name != "" {
		name = "-" + name
	}
	return fmt.Sprintf("%03d%s.ts", id, name)
}

type savedFile struct{ file *os.File }

func (f *savedFile) write(p []byte) error {
	if _, err := f.file.Write(p); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

func (f *savedFile) close() error {
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// abandon gives up a file that could not be written.
func (f *savedFile) abandon() { f.file.Close() }
