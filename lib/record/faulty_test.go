package record

import (
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// faultyDisk is a disk on which the operation op fails from its first to its last call, both counted from 1.
type faultyDisk struct {
	osDisk
	op          string
	first, last int
	err         error
	short       int           // how many bytes a failing write writes
	block       chan struct{} // if not nil, each sync waits for it
	hang        chan struct{} // if not nil, each create waits for it

	mu    sync.Mutex
	calls int
}

func (d *faultyDisk) fails(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op != d.op {
		return nil
	}
	if d.calls++; d.calls >= d.first && d.calls <= d.last {
		return &fs.PathError{Op: op, Path: "faulty", Err: d.err}
	}
	return nil
}

func (d *faultyDisk) Create(path string) (file, error) {
	if d.hang != nil {
		<-d.hang
	}
	if err := d.fails("create"); err != nil {
		return nil, err
	}
	f, err := d.osDisk.Create(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, d}, nil
}

func (d *faultyDisk) Rename(from, to string) error {
	if err := d.fails("rename"); err != nil {
		return err
	}
	return d.osDisk.Rename(from, to)
}

func (d *faultyDisk) SyncDir(path string) error {
	if err := d.fails("syncfolder"); err != nil {
		return err
	}
	return d.osDisk.SyncDir(path)
}

type faultyFile struct {
	file
	d *faultyDisk
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.d.fails("write"); err != nil {
		n, _ := f.file.Write(p[:min(f.d.short, len(p))])
		return n, err
	}
	return f.file.Write(p)
}

func (f *faultyFile) Sync() error {
	if f.d.block != nil {
		<-f.d.block
	}
	if err := f.d.fails("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) SyncData() error {
	if err := f.d.fails("syncdata"); err != nil {
		return err
	}
	return f.file.SyncData()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.d.fails("truncate"); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *faultyFile) Close() error {
	err := f.file.Close()
	if ferr := f.d.fails("close"); ferr != nil {
		return ferr
	}
	return err
}

var errFault = syscall.ENOSPC

// hidden lists the files of a folder that have a temporary name.
func hidden(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, ".*"))
	var temps []string
	for _, n := range names {
		if strings.HasPrefix(filepath.Base(n), tempPrefix) {
			temps = append(temps, n)
		}
	}
	return temps
}
