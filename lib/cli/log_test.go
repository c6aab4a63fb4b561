package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLogger(t *testing.T) {
	var text bytes.Buffer
	NewLogger(&text, "vw-test", "text", false).Info("hello", "n", 1)
	if got := text.String(); !strings.Contains(got, "Z level=INFO msg=hello tool=vw-test n=1\n") {
		t.Errorf("text: got %q: no UTC time, or not the rest", got)
	}

	var form bytes.Buffer
	NewLogger(&form, "vw-test", "json", false).Warn("hello")
	var line struct {
		Time             time.Time
		Level, Msg, Tool string
	}
	if err := json.Unmarshal(form.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "WARN" || line.Msg != "hello" || line.Tool != "vw-test" || line.Time.Location() != time.UTC {
		t.Errorf("json: got %q", form.String())
	}

	var quiet bytes.Buffer
	log := NewLogger(&quiet, "vw-test", "text", true)
	log.Warn("left out")
	if quiet.Len() != 0 {
		t.Errorf("quiet: got %q, want nothing", quiet.String())
	}
	log.Error("said")
	if !strings.Contains(quiet.String(), "msg=said") {
		t.Errorf("quiet: got %q, want the error", quiet.String())
	}
}

// plainLogger logs level, message and attributes only.
func plainLogger(b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestLimiter(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(0, 0)
	l := NewLimiter(plainLogger(&b))
	l.now = func() time.Time { return now }
	expect := func(when, want string) {
		t.Helper()
		if b.String() != want {
			t.Errorf("%s: got %q, want %q", when, b.String(), want)
		}
		b.Reset()
	}

	if !l.Warned("a", "trouble", "n", 1) {
		t.Error("the first is not said")
	}
	expect("first", "level=WARN msg=trouble n=1\n")
	now = now.Add(limitInterval - 1)
	l.Warn("a", "trouble", "n", 2)
	if l.Warned("a", "trouble", "n", 3) {
		t.Error("the third is said")
	}
	expect("within the second", "")
	l.Error("b", "other")
	expect("another key", "level=ERROR msg=other\n")
	now = now.Add(1)
	l.Warn("a", "trouble", "n", 4)
	expect("after a second", "level=WARN msg=trouble n=4 left_out=2\n")
	l.Flush()
	expect("nothing left to tell", "")
	l.Warn("a", "trouble", "n", 5)
	l.Warn("a", "trouble", "n", 6)
	l.Flush()
	expect("at the end", "level=WARN msg=trouble n=6 left_out=1\n")

	x, y := l.Warner("x"), l.Warner("y")
	x("late", "n", 1)
	x("late", "n", 2)
	y("late", "n", 3)
	x("early", "n", 4)
	expect("sources", "level=WARN msg=late n=1\nlevel=WARN msg=late n=3\nlevel=WARN msg=early n=4\n")
}
