package stream

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestStopBeforeTheFirstRead: Stop may come before anything has been read.
func TestStopBeforeTheFirstRead(t *testing.T) {
	for _, format := range []Format{Auto, TS, Raw} {
		r := NewReader(strings.NewReader("never read"), ReaderOptions{Format: format})
		r.Stop()
		if b, err := r.Next(); err != io.EOF {
			t.Errorf("%v: %+v, %v", format, b, err)
		}
		r.Close()
	}
}

// TestReaderStop: Stop ends a read that waits. What was read before it comes out.
func TestReaderStop(t *testing.T) {
	for _, before := range []string{"", "ab", "\x47 and so on"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		rd := NewReader(r, ReaderOptions{Format: TS})
		if _, err := w.WriteString(before); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if before != "" {
			b, err := rd.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = join(b.Chunks)
		}
		timer := time.AfterFunc(10*time.Millisecond, rd.Stop)
		for {
			b, err := rd.Next()
			if err != nil {
				if err != io.EOF {
					t.Errorf("%v, want EOF", err)
				}
				break
			}
			got = append(got, join(b.Chunks)...)
		}
		if string(got) != before {
			t.Errorf("%q at the end, want %q", got, before)
		}
		timer.Stop()
		rd.Close()
		r.Close()
		w.Close()
	}
}
