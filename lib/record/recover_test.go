package record

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// leaveUnfinished leaves an unfinished file as a killed recorder does.
func leaveUnfinished(t *testing.T, template *Template, at time.Time, raw bool, injected int, data []byte) string {
	t.Helper()
	n := newTempName(template, template.Path(at), at)
	n.raw, n.injected = raw, int64(injected)
	if err := os.MkdirAll(n.folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.String(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return n.String()
}

// TestRecoverUnfinished: unfinished files are recovered, oldest first, cut to whole packets, as NAME.partial.ts.
func TestRecoverUnfinished(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 20)
	tr := newTrial(t, bytes.NewReader(b), Limits{})
	tr.config.Template = mustTemplate(t, filepath.Join(tr.dir, "%Y/%m/cam-%S.ts"))
	at := func(second int) time.Time { return time.Date(2024, 2, 3, 4, 5, second, 6, time.UTC) }
	own := tr.config.Template
	leaveUnfinished(t, own, at(2), false, 0, b[:10*mpegts.PacketSize+100])
	leaveUnfinished(t, own, at(1), false, 2*mpegts.PacketSize, b[:20*mpegts.PacketSize])
	leaveUnfinished(t, own, at(1).AddDate(0, 1, 0), false, 0,
		append(bytes.Clone(b[:3*mpegts.PacketSize]), make([]byte, 1000)...))
	leaveUnfinished(t, own, at(3), true, 0, []byte("0123456789"))
	empty := []string{
		leaveUnfinished(t, own, at(4), false, 0, nil),
		leaveUnfinished(t, own, at(5), false, 2*mpegts.PacketSize, b[:2*mpegts.PacketSize+50]),
		leaveUnfinished(t, own, at(6), false, 0, b[:187]),
	}
	if err := os.WriteFile(filepath.Join(tr.dir, "2024/02/cam-01.partial.ts"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	others := []string{
		leaveUnfinished(t, mustTemplate(t, filepath.Join(tr.dir, "%Y/%m/cam2-%S.ts")), at(1), false, 0, b),
		filepath.Join(tr.dir, "2024/02/cam-01.partial.ts"),
		filepath.Join(tr.dir, "2024/02/deep/x.ts"),
	}
	if err := os.MkdirAll(filepath.Dir(others[2]), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(others[2], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(tr.dir, "..", filepath.Base(tr.dir)+".jsonl")
	tr.config.Manifest = manifest
	t.Cleanup(func() { _ = os.Remove(manifest) })
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	for _, path := range others {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("somebody else's file: %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range empty {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s, in which nothing is: %v", path, err)
		}
	}
	files := tr.files()
	if len(files) != 5 {
		t.Fatalf("%d files", len(files))
	}
	for i, want := range []struct {
		file     string
		data     string
		injected int64
	}{
		{"2024/02/cam-01.partial_001.ts", string(b[:20*mpegts.PacketSize]), 2 * mpegts.PacketSize},
		{"2024/02/cam-02.partial.ts", string(b[:10*mpegts.PacketSize]), 0},
		{"2024/02/cam-03.partial.ts", "0123456789", 0},
		{"2024/03/cam-01.partial.ts", string(b[:3*mpegts.PacketSize]), 0},
		{files[4].File, string(b), 0},
	} {
		f := files[i]
		if f.File != want.file || string(f.data) != want.data || f.Injected != want.injected {
			t.Errorf("%d: %+v, want %s", i, f.Entry, want.file)
		}
		if i < 4 && (f.Reason != Partial || f.StartsAtKeyframe != (i != 2)) {
			t.Errorf("%d: %+v", i, f.Entry)
		}
	}
	if f := files[1]; !f.Start.Equal(at(2)) || f.End.Before(f.Start) || f.Packets != 10 || f.Keyframes != 1 ||
		f.PTSStart == nil {
		t.Errorf("%+v", f.Entry)
	}
	if files[4].Reason != End {
		t.Errorf("%+v", files[4].Entry)
	}
}

// TestTwoRecorders: two recorders share a template and a manifest. Neither touches what the other is writing, and no
// file is lost.
func TestTwoRecorders(t *testing.T) {
	dir := folder(t)
	b := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 50)
	const recorders = 3
	var trials []*trial
	ends := make(chan struct{})
	results := make(chan error, recorders)
	for range recorders {
		half := false
		r := bytes.NewReader(b)
		tr := newTrialIn(t, dir, readerFunc(func(p []byte) (int, error) {
			if !half && r.Len() < len(b)/2 {
				half = true
				<-ends
			}
			return r.Read(p[:min(len(p), 1000)])
		}), Limits{RotateFrames: 5})
		trials = append(trials, tr)
		tr.open()
		go func() { results <- tr.run() }()
		testwait.Eventually(t, "a third of the stream is written",
			func() bool { return tr.counts().Written > int64(len(b)/3) })
	}
	testwait.Eventually(t, "each recorder has an open file", func() bool { return len(hidden(dir)) == recorders })
	close(ends)
	for range recorders {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	var sum int64
	for _, f := range trials[0].files() {
		sum += f.Bytes - f.Injected
		if f.Reason == Partial {
			t.Errorf("%+v", f.Entry)
		}
	}
	if want := int64(recorders * len(b)); sum != want {
		t.Errorf("%d of %d bytes are recorded", sum, want)
	}
	for _, tr := range trials {
		if c := tr.counts(); c.Confirmed != int64(len(b)) {
			t.Errorf("%+v", c)
		}
	}
}

// TestTornManifest: a half-written line is cut off before the next is appended.
func TestTornManifest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.jsonl")
	const line, torn = `{"file":"a"}` + "\n", `{"file":`
	for _, tc := range []struct{ before, after string }{
		{"", ""}, {line, line}, {line + torn, line}, {torn, ""}, {torn[:3], ""},
		{torn + strings.Repeat("x", 10000), ""}, {line + torn + strings.Repeat("x", 4095-len(torn)), line},
		{strings.Repeat(line, 1000) + torn, strings.Repeat(line, 1000)},
	} {
		if err := os.WriteFile(path, []byte(tc.before), 0o600); err != nil {
			t.Fatal(err)
		}
		m := manifest{path: path}
		if err := m.flush(); err != nil {
			t.Fatal(err)
		}
		if err := m.add(Entry{File: "f"}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		rest, ok := strings.CutPrefix(string(b), tc.after)
		if err != nil || !ok || !strings.HasPrefix(rest, `{"file":"f",`) || strings.Count(rest, "\n") != 1 {
			t.Errorf("%.20q became %.60q, %v", tc.before, b, err)
		}
	}
}

// TestTemporaryNamesAreInOrder: the temporary names of segments that begin with one read are in order, also when one
// of them has already been finished.
func TestTemporaryNamesAreInOrder(t *testing.T) {
	tr := newTrial(t, bytes.NewReader(nil), Limits{})
	w := tr.open().writer
	at := time.Now()
	var last time.Time
	for i := range 5 {
		s, err := w.createSegment(&segmenter{w: w, p: &stream.Delivery{ReceivedAt: at, Kind: stream.Bytes}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.file.Close()
		n, ok := parseTempName(s.temp)
		if !ok || !n.start.After(last) {
			t.Errorf("%s does not come after %v", s.temp, last)
		}
		last = n.start
		if i%2 == 0 {
			if err := os.Remove(s.temp); err != nil {
				t.Fatal(err)
			}
		}
	}
}
