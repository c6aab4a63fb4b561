package test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestArrivalTimesWithAndWithoutRecording: the arrival times of the packets at the server are measured with and without
// recording, and both distributions are written side by side. No time decides.
func TestArrivalTimesWithAndWithoutRecording(t *testing.T) {
	t.Parallel()
	into := t.TempDir()
	env := []string{"VW_BIN=" + filepath.Dir(tool(t, "vw-push"))}
	p := start(t, wiring{env: env}, "../scripts/arrivals", "--seconds", "2", "--rounds", "1", "--into", into)
	p.expect(0)
	summary := read(t, filepath.Join(into, "summary.txt"))
	t.Logf("\n%s", summary)
	for _, row := range []string{"messages", "median", "90th percentile", "99th percentile", "maximum"} {
		m := regexp.MustCompile(`(?m)^` + row + ` +(\d+) +(\d+)$`).FindSubmatch(summary)
		if m == nil {
			t.Errorf("no %s in the summary", row)
			continue
		}
		for _, figure := range m[1:] {
			if n, _ := strconv.Atoi(string(figure)); n <= 0 {
				t.Errorf("%s: %s", row, figure)
			}
		}
	}
	for _, name := range []string{"without-1.csv", "with-1.csv"} {
		csv := read(t, filepath.Join(into, name))
		if lines := bytes.Count(csv, []byte("\n")); lines < 25 ||
			!bytes.HasPrefix(csv, []byte("connection,message,ns,bytes\n")) {
			t.Errorf("%s: %d lines, beginning with %.40q", name, lines, csv)
		}
	}
}
