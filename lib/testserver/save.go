package testserver

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// savedFolder is where connections are saved. A file cannot get outside of it, whatever a path is.
type savedFolder struct {
	name string
	root *os.Root
	fail func(error)

	most     int64         // what may be waiting, in bytes
	patience time.Duration // with a disk that takes nothing, in the end

	waiting atomic.Int64 // bytes that the disk has not taken
	moved   atomic.Int64 // bytes that it has, and files opened and closed
}

func openSaved(name string, fail func(error)) (*savedFolder, error) {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return nil, fmt.Errorf("save: %w", err)
	}
	if err := unix.Access(name, unix.W_OK|unix.X_OK); err != nil {
		return nil, fmt.Errorf("save to %s: %w", name, err)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("save: %w", err)
	}
	return &savedFolder{name: name, root: root, fail: fail, most: maxUnsaved, patience: diskPatience}, nil
}

func (s *savedFolder) close() { s.root.Close() }

// create begins a file for a connection. It does not wait for the disk.
func (s *savedFolder) create(id int, path string) *savedFile {
	f := &savedFile{folder: s, name: fileName(id, path), queue: newBacklog(unlimited), lost: make(chan struct{})}
	f.writer = f.write
	f.queue.taken = true
	f.writing.Add(1)
	go f.writer()
	return f
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

// savedFile is what one connection sends, written by a goroutine that is there while there is something to write.
type savedFile struct {
	folder  *savedFolder
	name    string
	queue   *backlog
	writing sync.WaitGroup
	writer  func()        // write, made a func once
	lost    chan struct{} // closed by put when more was waiting than may

	// Of the goroutine that writes, while it runs.
	file   *os.File // nil: not opened yet, or given up
	failed bool
}

// put adds bytes without waiting for the disk.
func (f *savedFile) put(p []byte) {
	if isClosed(f.lost) {
		return
	}
	n := int64(len(p))
	if f.folder.waiting.Add(n) > f.folder.most {
		f.folder.waiting.Add(-n)
		close(f.lost)
		f.folder.fail(fmt.Errorf("save to %s: %s is not whole: the disk is too slow, %d MiB wait for it", f.folder.name,
			f.name, f.folder.most>>20))
		return
	}
	if f.queue.put(p) {
		f.writing.Add(1)
		go f.writer()
	}
}

func (f *savedFile) write() {
	defer f.writing.Done()
	if f.file == nil && !f.failed {
		var err error
		f.file, err = f.folder.root.Create(f.name)
		f.check(err)
	}
	for p, _ := f.queue.next(); p != nil; p, _ = f.queue.next() {
		if !f.failed {
			_, err := f.file.Write(p)
			f.check(err)
		}
		f.folder.waiting.Add(-int64(len(p)))
		f.folder.moved.Add(int64(len(p)))
		f.queue.done(len(p))
	}
}

func (f *savedFile) check(err error) {
	f.folder.moved.Add(1)
	if err != nil && !f.failed {
		f.failed = true
		f.folder.fail(fmt.Errorf("save to %s: %w", f.folder.name, err))
	}
}

// close returns when all is in the file, or when there is no sense in waiting.
func (f *savedFile) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.writing.Wait()
		if f.file != nil {
			f.check(f.file.Close())
		}
	}()
	if isClosed(f.lost) {
		return
	}
	if err := awaitDisk(done, f.folder.moved.Load, f.folder.patience); err != nil {
		f.folder.fail(fmt.Errorf("save to %s: %s is not whole: %w", f.folder.name, f.name, err))
	}
}
