package fdio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func TestEveryByteGoesThroughAPipeInOrder(t *testing.T) {
	r, w := nonblockingPipe(t)
	want := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
	go func() {
		defer w.Close()
		for rest := want; len(rest) > 0; {
			n := min(1+rand.IntN(300<<10), len(rest)) // more than a pipe holds
			if got, err := w.Write(rest[:n]); got != n || err != nil {
				t.Errorf("wrote %d of %d: %v", got, n, err)
				return
			}
			rest = rest[n:]
		}
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestReadGivesUpAtItsDeadline(t *testing.T) {
	r, w := nonblockingPipe(t)
	_ = r.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d, %v; want a deadline", n, err)
	}
	_ = r.SetReadDeadline(time.Time{})
	_, _ = w.Write([]byte("later"))
	buf := make([]byte, 10)
	if n, err := r.Read(buf); string(buf[:n]) != "later" || err != nil {
		t.Fatalf("%q, %v after the deadline", buf[:n], err)
	}
}

func TestWriteReturnsHowMuchItWroteBeforeItsDeadline(t *testing.T) {
	r, w := nonblockingPipe(t)
	blob := make([]byte, 1<<20)
	_ = w.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)) // it is to have begun by then
	n, err := w.Write(blob)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n <= 0 || n >= 1<<20 {
		t.Fatalf("%d, %v; want a part and a deadline", n, err)
	}
	_ = w.Close()
	if got, err := io.Copy(io.Discard, r); got != int64(n) || err != nil {
		t.Fatalf("%d came, %v; %d were written", got, err, n)
	}
}

func TestTryWriteTakesWhatHasRoom(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: it is Linux that can")
	}
	r, w := nonblockingPipe(t)
	n := w.TryWrite(make([]byte, 1<<20))
	if n <= 0 || n >= 1<<20 {
		t.Fatalf("%d of 1 MiB went into a pipe", n)
	}
	if more := w.TryWrite([]byte("x")); more != 0 {
		t.Fatalf("%d bytes went into a full pipe", more)
	}
	_ = w.Close()
	if got, err := io.Copy(io.Discard, r); got != int64(n) || err != nil {
		t.Fatalf("%d came, %v; %d were written", got, err, n)
	}
	if n := w.TryWrite([]byte("x")); n != 0 {
		t.Fatalf("%d bytes went into a closed pipe", n)
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	r, _ := nonblockingPipe(t)
	result := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 10))
		result <- err
	}()
	_ = r.Close() // before or while it waits
	if err := <-result; !errors.Is(err, os.ErrClosed) {
		t.Fatalf("%v; want that it is closed", err)
	}
}

func TestWriteWithoutAReaderFails(t *testing.T) {
	r, w := nonblockingPipe(t)
	_ = r.Close()
	if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("%v; want EPIPE", err)
	}
}

func TestAFileOutsideThePollerIsReadAsItIs(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file := NewFile(f)
	if n, err := file.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
	if file.d != nil {
		t.Fatal("it is read without the scheduler, and may block")
	}
}

// BenchmarkPipe writes a frame and reads it.
func BenchmarkPipe(b *testing.B) {
	r, w := nonblockingPipe(b)
	frame, buf := make([]byte, 6000), make([]byte, 64<<10)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
