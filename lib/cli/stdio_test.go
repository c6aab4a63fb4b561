package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/fdio"
)

// pipe returns both ends of a pipe in blocking mode, as a shell passes them.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	r.Fd() // has the side effect of blocking mode
	w.Fd()
	return r, w
}

// sockets returns both ends of a socket pair in blocking mode.
func sockets(t *testing.T) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// blockingInput is what openInput makes where a pipe cannot be opened again.
func blockingInput(t *testing.T, f *os.File) *Input {
	t.Helper()
	d, err := duplicate(int(f.Fd()), "standard input", unix.S_IFIFO)
	if err != nil {
		t.Fatal(err)
	}
	return &Input{d}
}

// inputs are the ways in which standard input can be open. Each takes over what it makes, as OpenStdin does.
var inputs = map[string]func(t *testing.T) (in *Input, writer *os.File){
	"pipe": func(t *testing.T) (*Input, *os.File) {
		r, w := pipe(t)
		in, err := openInput(int(r.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if _, polled := in.file.(*fdio.File); polled != (runtime.GOOS == "linux") {
			t.Fatalf("the pipe is read as %T", in.file)
		}
		r.Close()
		return in, w
	},
	"blocking pipe": func(t *testing.T) (*Input, *os.File) {
		r, w := pipe(t)
		in := blockingInput(t, r)
		r.Close()
		return in, w
	},
	"socket": func(t *testing.T) (*Input, *os.File) {
		a, b := sockets(t)
		in, err := openInput(int(a.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		return in, b
	},
}

func eachInput(t *testing.T, f func(t *testing.T, in *Input, writer *os.File)) {
	for name, open := range inputs {
		t.Run(name, func(t *testing.T) {
			in, writer := open(t)
			defer in.Close()
			f(t, in, writer)
		})
	}
}

// inBackground runs f, and returns its result.
func inBackground(f func() (int, error)) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := f()
		done <- err
	}()
	return done
}

// untilWaiting waits until a goroutine waits within the named function, in the poller or in poll(2). Without that a
// deadline or Close may come before there is anything to end, which is another case.
func untilWaiting(t *testing.T, name string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	testwait.Eventually(t, name+" waits", func() bool {
		stacks := string(buf[:runtime.Stack(buf, true)])
		for stack := range strings.SplitSeq(stacks, "\n\n") {
			waits := strings.Contains(stack, "[IO wait") || strings.Contains(stack, "unix.Poll(")
			if waits && strings.Contains(stack, name) {
				return true
			}
		}
		return false
	})
}

func TestInputReadsToTheEnd(t *testing.T) {
	eachInput(t, func(t *testing.T, in *Input, writer *os.File) {
		want := bytes.Repeat([]byte("0123456789"), 100_000)
		written := inBackground(func() (int, error) {
			defer writer.Close()
			return writer.Write(want)
		})
		got, err := io.ReadAll(in)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v; want the %d written", len(got), err, len(want))
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

func TestInputDeadline(t *testing.T) {
	eachInput(t, func(t *testing.T, in *Input, writer *os.File) {
		buf := make([]byte, 10)
		for when, deadline := range map[string]time.Time{"past": time.Unix(1, 0),
			"near": time.Now().Add(time.Millisecond)} {
			reading := inBackground(func() (int, error) { return in.Read(buf) })
			untilWaiting(t, "(*Input).Read")
			if err := in.SetReadDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			if err := <-reading; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: got %v, want %v", when, err, os.ErrDeadlineExceeded)
			}
			if err := in.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := writer.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		if n, err := in.Read(buf); err != nil || string(buf[:n]) != "more" {
			t.Errorf("without a deadline again: got %q, %v", buf[:n], err)
		}
	})
}

func TestInputClose(t *testing.T) {
	eachInput(t, func(t *testing.T, in *Input, writer *os.File) {
		reading := inBackground(func() (int, error) { return in.Read(make([]byte, 10)) })
		untilWaiting(t, "(*Input).Read")
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-reading; !errors.Is(err, os.ErrClosed) {
			t.Errorf("a Read that waits: got %v, want %v", err, os.ErrClosed)
		}
		if _, err := writer.WriteString("x"); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the writer: got %v, want %v", err, syscall.EPIPE)
		}
		if err := in.SetReadDeadline(time.Now()); err == nil {
			t.Error("SetReadDeadline after Close: no error")
		}
		if err := in.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Close again: got %v, want %v", err, os.ErrClosed)
		}
	})
}

func TestInputOfAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	in, err := openInput(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || string(got) != "456789" {
		t.Errorf("got %q, %v; want what stands after the offset", got, err)
	}
}

func TestInputKeepsTheModeOfWhatIsShared(t *testing.T) {
	r, _ := pipe(t)
	in, err := openInput(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	flags, err := unix.FcntlInt(r.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags of the description that others share: %#o, %v", flags, err)
	}
}

func TestDescriptorWaitsWithoutAllocating(t *testing.T) {
	r, w := pipe(t)
	in := blockingInput(t, r)
	defer in.Close()
	buf := make([]byte, 10)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := unix.Write(int(w.Fd()), buf); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Read(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}

func TestWrongWayRound(t *testing.T) {
	r, w := pipe(t)
	if in, err := openInput(int(w.Fd())); err == nil || !strings.Contains(err.Error(), "not open for reading") {
		t.Errorf("input: got %v, %v", in, err)
	}
	if out, err := openOutput(int(r.Fd())); err == nil || !strings.Contains(err.Error(), "not open for writing") {
		t.Errorf("output: got %v, %v", out, err)
	}
}
