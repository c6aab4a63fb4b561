package cli

import (
	"bytes"
	"encoding/json"
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
