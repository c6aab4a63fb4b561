package testserver

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// hangingFile makes a file that takes 64 KiB, as a pipe does, and no more until read is called.
func hangingFile(t *testing.T, name string) (read func() []byte) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	read = sync.OnceValue(func() []byte {
		var all []byte
		done := make(chan struct{})
		go func() {
			defer close(done)
			reader, err := os.Open(name)
			if err == nil {
				defer reader.Close()
				pipe.Close()
				all, _ = io.ReadAll(reader)
			}
		}()
		<-done
		return all
	})
	t.Cleanup(func() { read() })
	return read
}

// TestSaveDoesNotBlock: while the disk hangs, everything is received; when it goes on, everything is saved.
func TestSaveDoesNotBlock(t *testing.T) {
	dir := t.TempDir()
	read := hangingFile(t, filepath.Join(dir, "001-cam1.ts"))
	data := make([]byte, 4*maxBlocks*blockSize) // more than waits anywhere else
	rand.Read(data)
	s := start(t, Options{Conns: 1, Save: dir, Expectations: []Expectation{ExpectBytes("", Exactly(int64(len(data))))}})
	publish(t, s.URL()+"/cam1", data) // its close is answered when all has been received
	if n := s.Stats().Bytes; n != int64(len(data)) {
		t.Errorf("%d bytes were received", n)
	}
	if saved := sum(read()); one(t, s).SHA256 != sum(data) || saved != sum(data) {
		t.Error("other bytes were saved")
	}
}

// TestSaveTooSlow: the server ends as soon as too much waits for the disk.
func TestSaveTooSlow(t *testing.T) {
	dir := t.TempDir()
	hangingFile(t, filepath.Join(dir, "001-cam1.ts"))
	s := start(t, Options{Conns: 1, Save: dir})
	s.saved.maxUnsaved = 2 << 20
	c := dial(t, s.URL()+"/cam1", wsconn.DialOptions{})
	ctx := testContext(t)
	go func() {
		for c.Write(ctx, make([]byte, 1<<20)) == nil {
		}
	}()
	_, err := s.Wait(testContext(t))
	if err == nil ||
		!strings.Contains(err.Error(), "001-cam1.ts is not whole: the disk is too slow, 2 MiB wait for it") {
		t.Errorf("Wait: %v", err)
	}
}

// TestSaveHangs: at the end the server waits for a disk that hangs only until the timeout.
func TestSaveHangs(t *testing.T) {
	dir := t.TempDir()
	hangingFile(t, filepath.Join(dir, "001-cam1.ts"))
	s := start(t, Options{Conns: 1, Save: dir})
	s.saved.diskTimeout = 20 * time.Millisecond
	publish(t, s.URL()+"/cam1", make([]byte, 1<<20))
	_, err := s.Wait(testContext(t))
	if err == nil || !strings.Contains(err.Error(), "001-cam1.ts is not whole: the disk has taken nothing for 20ms") {
		t.Errorf("Wait: %v", err)
	}
}

// TestSlowArrivals: the same two limits hold for the arrivals.
func TestSlowArrivals(t *testing.T) {
	name := filepath.Join(t.TempDir(), "arrivals.csv")
	hangingFile(t, name)
	failed := make(chan error, 2)
	a, err := openArrivals(name, time.Now(), func(err error) { failed <- err })
	if err != nil {
		t.Fatal(err)
	}
	a.maxWaiting = 1000
	for range 64 << 10 { // some are on their way to the disk
		a.put(arrival{})
	}
	if err := <-failed; !strings.Contains(err.Error(), "arrivals: the disk is too slow") {
		t.Error(err)
	}
	a.close()

	hung := filepath.Join(t.TempDir(), "arrivals.csv")
	hangingFile(t, hung)
	if a, err = openArrivals(hung, time.Now(), func(err error) { failed <- err }); err != nil {
		t.Fatal(err)
	}
	a.diskTimeout = 20 * time.Millisecond
	for range 64 << 10 {
		a.put(arrival{})
	}
	a.close()
	if err := <-failed; !strings.Contains(err.Error(), "nothing for 20ms") {
		t.Error(err)
	}
}

// TestSaveReadOnly: New refuses a folder that cannot be written to.
func TestSaveReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("SKIPPED: no file system of its own: %v", err)
	}
	defer syscall.Unmount(dir, 0)
	if s, err := New(Options{Save: dir}); err == nil || !strings.Contains(err.Error(), "read-only") {
		if err == nil {
			s.Close()
		}
		t.Errorf("New: %v", err)
	}
}
