package vwpush

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestSplitURLs(t *testing.T) {
	t.Parallel()
	text := "\ufeff# from an editor of Windows\r\nws://a/1\r\n\r\n  ws://b/2 \r\n#ws://c/3\r\nws://d/4"
	if got, want := splitURLs(text), []string{"ws://a/1", "ws://b/2", "ws://d/4"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestHalfWrittenFile: a dial does not take over a file that has just changed, but SIGHUP does.
func TestHalfWrittenFile(t *testing.T) {
	t.Parallel()
	f := &urlFile{name: filepath.Join(t.TempDir(), "to")}
	if err := os.WriteFile(f.name, []byte("ws://127.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(at time.Time, asked bool) error {
		t.Helper()
		if err := os.Chtimes(f.name, at, at); err != nil {
			t.Fatal(err)
		}
		_, err := f.readAgain(asked)
		return err
	}
	at := time.Now()
	if err := read(at, false); err == nil && time.Since(at) < settleTime {
		t.Error("a dial took over a file that was being written")
	}
	if err := read(time.Now(), true); err != nil {
		t.Error(err)
	}
	if err := read(time.Now().Add(-2*settleTime), false); err != nil {
		t.Error(err)
	}
	// The time of a file whose machine has another clock says nothing.
	if err := read(time.Now().Add(time.Hour), false); err != nil {
		t.Error(err)
	}
}
