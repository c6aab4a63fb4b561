package cli

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestStuckStderr: a reader that hangs holds nothing up, and when it reads again, it gets what comes then.
func TestStuckStderr(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	stderr := &timeoutWriter{file: w}
	line := bytes.Repeat([]byte("x"), 1000)
	begun := time.Now()
	for range 1000 { // far more than a pipe holds
		if n, err := stderr.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		got <- b
	}()
	testwait.Eventually(t, "there is room again", stderr.waitWritable)
	if _, err := stderr.Write([]byte("again")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if b := <-got; len(b) < 4096 || len(b) > 200_000 || !bytes.HasSuffix(b, []byte("xagain")) {
		t.Errorf("%d bytes came, the last of them %q", len(b), b[max(len(b)-10, 0):])
	}
}
