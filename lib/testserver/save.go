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

// saveFolder is where connections are saved. No file can be outside of it, whatever a path is.
type saveFolder struct {
	name string
	root *os.Root
	fail func(error)

	maxUnsaved  int64 // bytes that may wait for the disk
	diskTimeout time.Duration

	unsaved  atomic.Int64 // bytes that wait for the disk
	progress atomic.Int64 // bytes written, files opened and closed
}

func openSaveFolder(name string, fail func(error)) (*saveFolder, error) {
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
	return &saveFolder{name: name, root: root, fail: fail, maxUnsaved: maxUnsaved, diskTimeout: diskTimeout}, nil
}

func (s *saveFolder) close() { s.root.Close() }

// create begins a file for a connection. It does not wait for the disk.
func (s *saveFolder) create(id int, path string) *savedFile {
	f := &savedFile{folder: s, name: fileName(id, path), queue: newPieceQueue(unlimited),
		incomplete: make(chan struct{})}
	f.writer = f.write
	f.queue.hasReader = true
	f.writing.Add(1)
	go f.writer()
	return f
}

// maxPathInName is how many bytes of a path are in a file's name.
const maxPathInName = 100

// fileName is the number and what a file's name may contain of the path: letters, digits, dots, hyphens and
// underscores.
func fileName(id int, path string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, strings.TrimSuffix(path, ".ts"))
	name = strings.Trim(name[:min(len(name), maxPathInName)], "-.")
	if name != "" {
		name = "-" + name
	}
	return fmt.Sprintf("%03d%s.ts", id, name)
}

// savedFile is what one connection sends. A goroutine writes it as long as there is something to write.
type savedFile struct {
	folder     *saveFolder
	name       string
	queue      *pieceQueue
	writing    sync.WaitGroup
	writer     func()        // write, stored so that starting it does not allocate
	incomplete chan struct{} // closed by put when too much waits

	// Of the writing goroutine.
	file   *os.File // nil: not opened yet, or it could not be
	failed bool
}

// put adds bytes without waiting for the disk.
func (f *savedFile) put(p []byte) {
	if isClosed(f.incomplete) {
		return
	}
	n := int64(len(p))
	if f.folder.unsaved.Add(n) > f.folder.maxUnsaved {
		f.folder.unsaved.Add(-n)
		close(f.incomplete)
		f.folder.fail(fmt.Errorf("save to %s: %s is not whole: the disk is too slow, %d MiB wait for it", f.folder.name,
			f.name, f.folder.maxUnsaved>>20))
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
		f.folder.unsaved.Add(-int64(len(p)))
		f.folder.progress.Add(int64(len(p)))
		f.queue.done(len(p))
	}
}

// check ends the server at the first error.
func (f *savedFile) check(err error) {
	f.folder.progress.Add(1)
	if err != nil && !f.failed {
		f.failed = true
		f.folder.fail(fmt.Errorf("save to %s: %w", f.folder.name, err))
	}
}

// close returns when everything is in the file, or when the disk has hung for too long.
func (f *savedFile) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.writing.Wait()
		if f.file != nil {
			f.check(f.file.Close())
		}
	}()
	if isClosed(f.incomplete) {
		return
	}
	if err := awaitDisk(done, f.folder.progress.Load, f.folder.diskTimeout); err != nil {
		f.folder.fail(fmt.Errorf("save to %s: %s is not whole: %w", f.folder.name, f.name, err))
	}
}
