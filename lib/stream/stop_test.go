package stream

import (
	"io"
	"strings"
	"testing"
)

// A reader may be stopped before it has read anything.
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
