package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/record"
)

// With the race detector a process sleeps for a second at its end, which would be most of the test's time.
func init() {
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
}

// recording is what a vw-record with a manifest has left in a folder.
type recording struct {
	entries []record.Entry
	joined  []byte // the files in order, without injected bytes
}

// readRecording reads a manifest and its files, and checks these against it. It counts the lines of missing files, and
// of those whose name another file has taken after that, and leaves them out.
func readRecording(t testing.TB, folder, manifest string) (r recording, missing int) {
	t.Helper()
	var all []record.Entry
	last := make(map[string]int) // line of each name
	for line := range bytes.Lines(read(t, manifest)) {
		var e record.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Reason == "" {
			continue // about the command of --exec
		}
		last[e.File] = len(all)
		all = append(all, e)
	}
	for i, e := range all {
		b, err := os.ReadFile(filepath.Join(folder, e.File))
		if err != nil || last[e.File] != i {
			missing++
			continue
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != e.SHA256 || int64(len(b)) != e.Bytes {
			t.Errorf("%s is not what its line says: %+v", e.File, e)
		}
		r.entries = append(r.entries, e)
		r.joined = append(r.joined, b[e.Injected:]...)
	}
	return r, missing
}

// feed writes frames to a pipe, one each interval, until stop is closed or n have been written, and closes it. The
// channel gets what it wrote.
func feed(t testing.TB, w *os.File, o tsgen.Options, n int, interval time.Duration,
	stop <-chan struct{}) <-chan []byte {
	t.Helper()
	sent := make(chan []byte, 1)
	go func() {
		defer w.Close()
		g := tsgen.New(o)
		var all []byte
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for range n {
			frame := g.Frame(nil)
			if k, err := w.Write(frame); err != nil {
				all = append(all, frame[:k]...)
				break
			}
			all = append(all, frame...)
			select {
			case <-ticker.C:
				continue
			case <-stop:
			}
			break
		}
		sent <- all
	}()
	return sent
}

// memoryFolder returns a folder in memory if possible, because thousands of syncs take long elsewhere.
func memoryFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "vw-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

// film makes a stream of so many seconds with ffmpeg, MPEG-1 and MP2 at 25 frames a second, and returns its path.
func film(t testing.TB, seconds int) string {
	t.Helper()
	return write(t, "film.ts", outputOf(t, fmt.Sprintf("%s -nostdin -v error "+
		"-f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=frequency=440 -t %d -c:v mpeg1video -b:v 300k "+
		"-bf 0 -c:a mp2 -b:a 64k -f mpegts -muxdelay 0.001 -", tool(t, "ffmpeg"), seconds)))
}

// outputs are what shell commands have written, by command: of func() ([]byte, error).
var outputs sync.Map

// outputOf returns what a shell command writes. It runs once for all tests that need it: do not change the bytes.
func outputOf(t testing.TB, command string) []byte {
	t.Helper()
	return onceFor(t, command, exec.Command("sh", "-c", command))
}

// onceFor returns what a command writes that runs only if none has run for the key.
func onceFor(t testing.TB, key string, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr bytes.Buffer
	run, _ := outputs.LoadOrStore(key, sync.OnceValues(func() ([]byte, error) {
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", key, err, &stderr)
		}
		return out, err
	}))
	out, err := run.(func() ([]byte, error))()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
