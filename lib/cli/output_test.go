package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/lib/fdio"
)

func blockingOutput(t *testing.T, f *os.File) *Output {
	t.Helper()
	d, err := duplicate(int(f.Fd()), "standard output", unix.S_IFIFO)
	if err != nil {
		t.Fatal(err)
	}
	out := &Output{file: d, gone: make(chan struct{})}
	if out.stopWatch, err = notifyHangupBlocking(d.fd, out.gone); err != nil {
		t.Fatal(err)
	}
	return out
}

// outputs are the ways in which standard output can be open, as inputs.
var outputs = map[string]func(t *testing.T) (out *Output, reader *os.File){
	"pipe": func(t *testing.T) (*Output, *os.File) {
		r, w := pipe(t)
		out, err := openOutput(int(w.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if _, polled := out.file.(*fdio.File); polled != (runtime.GOOS == "linux") {
			t.Fatalf("the pipe is written as %T", out.file)
		}
		w.Close()
		return out, r
	},
	"blocking pipe": func(t *testing.T) (*Output, *os.File) {
		r, w := pipe(t)
		out := blockingOutput(t, w)
		w.Close()
		return out, r
	},
	"socket": func(t *testing.T) (*Output, *os.File) {
		a, b := sockets(t)
		out, err := openOutput(int(a.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		return out, b
	},
}

func eachOutput(t *testing.T, f func(t *testing.T, out *Output, reader *os.File)) {
	for name, open := range outputs {
		t.Run(name, func(t *testing.T) {
			out, reader := open(t)
			defer out.Close()
			f(t, out, reader)
		})
	}
}

func TestOutputWritesAll(t *testing.T) {
	eachOutput(t, func(t *testing.T, out *Output, reader *os.File) {
		want := bytes.Repeat([]byte("0123456789"), 100_000) // more than fits
		type result struct {
			n   int
			err error
		}
		written := make(chan result, 1)
		go func() {
			n, err := out.Write(want)
			written <- result{n, errors.Join(err, out.Close())}
		}()
		got, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v; want the %d written", len(got), err, len(want))
		}
		if r := <-written; r.n != len(want) || r.err != nil {
			t.Errorf("wrote %d bytes, %v; want %d", r.n, r.err, len(want))
		}
	})
}

func TestOutputDeadline(t *testing.T) {
	eachOutput(t, func(t *testing.T, out *Output, reader *os.File) {
		data := bytes.Repeat([]byte("0123456789"), 200_000)
		n := 0
		writing := inBackground(func() (_ int, err error) {
			n, err = out.Write(data)
			return n, err
		})
		untilWaiting(t, "(*Output).Write")
		if err := out.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := <-writing; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
		out.Close()
		got, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if n != len(got) || !bytes.Equal(got, data[:n]) {
			t.Errorf("%d bytes arrived, and Write said %d", len(got), n)
		}
	})
}

func TestOutputClose(t *testing.T) {
	eachOutput(t, func(t *testing.T, out *Output, reader *os.File) {
		writing := inBackground(func() (int, error) { return out.Write(make([]byte, 2_000_000)) })
		untilWaiting(t, "(*Output).Write")
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-writing; !errors.Is(err, os.ErrClosed) {
			t.Errorf("a Write that waits: got %v, want %v", err, os.ErrClosed)
		}
		if err := out.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Close again: got %v, want %v", err, os.ErrClosed)
		}
		select {
		case <-out.Gone():
			t.Error("Gone is closed, and the reader was there to the end")
		default:
		}
	})
}

func TestOutputGoneWhileIdle(t *testing.T) {
	eachOutput(t, func(t *testing.T, out *Output, reader *os.File) {
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(reader, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-out.Gone():
			t.Fatal("gone, and the reader is there")
		default:
		}
		reader.Close()
		<-out.Gone()
		if _, err := out.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: got %v, want %v", err, syscall.EPIPE)
		}
	})
}

func TestOutputGoneWhileWriting(t *testing.T) {
	eachOutput(t, func(t *testing.T, out *Output, reader *os.File) {
		writing := inBackground(func() (int, error) { return out.Write(make([]byte, 2_000_000)) })
		untilWaiting(t, "(*Output).Write")
		reader.Close()
		<-out.Gone()
		// A peer that leaves data unread resets the connection; a pipe has no such thing.
		if err := <-writing; !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want %v", err, syscall.EPIPE)
		}
	})
}

func TestWatchingCostsNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: pipes are opened again on Linux only")
	}
	r, w := pipe(t)
	f, err := reopen(int(w.Fd()), unix.O_WRONLY, "standard output")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.Close()
	var looks atomic.Int32
	gone := make(chan struct{})
	stop, err := notifyHangup(f, gone, func(fd uintptr) bool {
		looks.Add(1)
		return readerGone(fd)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	// A full pipe that is emptied wakes the writer each time; the watcher must sleep on.
	from, to := make([]byte, 256<<10), make([]byte, 256<<10)
	for range 100 {
		writing := inBackground(func() (int, error) { return f.Write(from) })
		if _, err := io.ReadFull(r, to); err != nil {
			t.Fatal(err)
		}
		if err := <-writing; err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	<-gone
	if n := looks.Load(); n > 3 {
		t.Errorf("the watcher looked %d times; want once at the start and twice at the end at most", n)
	}
}

func TestOutputAppends(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(name, []byte("before "), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := openOutput(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "before after" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOutputToAFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	defer full.Close()
	out, err := openOutput(int(full.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if n, err := out.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %d, %v; want 0, %v", n, err, syscall.ENOSPC)
	}
}
