package record

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// shape abbreviates a playlist: its head, then "|" for a discontinuity, the name of each file, and "." for the end.
func shape(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := []string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXTM3U", "#EXT-X-VERSION":
		case "#EXT-X-TARGETDURATION":
			short = append(short, "T"+value)
		case "#EXT-X-MEDIA-SEQUENCE":
			short = append(short, "S"+value)
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			short = append(short, "D"+value)
		case "#EXT-X-DISCONTINUITY":
			short = append(short, "|")
		case "#EXTINF":
			short = append(short, strings.TrimSuffix(value, "0000,"))
		case "#EXT-X-PROGRAM-DATE-TIME":
			if at, err := time.Parse(time.RFC3339Nano, value); err != nil || time.Since(at) > time.Minute {
				t.Errorf("%s: %v", line, err)
			}
		case "#EXT-X-ENDLIST":
			short = append(short, ".")
		default:
			short = append(short, strings.TrimSuffix(line, ".ts"))
		}
	}
	return strings.Join(short, " ")
}

// TestPlaylist: a playlist continues from run to run, shows a window or all files, and loses those that retention
// deletes.
func TestPlaylist(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "p.m3u8")
	run := func(frames int, change func(*Config)) {
		t.Helper()
		b := tsgen.Frames(tsgen.Options{GOP: 5}, frames)
		tr := newTrialIn(t, dir, sized{bytes.NewReader(b), 1000}, Limits{RotateFrames: 10})
		tr.config.Template = mustTemplate(t, filepath.Join(dir, "a %%/x.ts"))
		tr.config.Playlist = path
		change(&tr.config)
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		if s := tr.log.String(); s != "" {
			t.Errorf("said %s", s)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := strings.ReplaceAll(shape(t, path), "a%20%25/", ""); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	run(23, func(*Config) {})
	expect("T1 S0 0.40 x 0.40 x_001 0.12 x_002 .")
	run(10, func(c *Config) { c.Limits.RotateTime = 1200 * time.Millisecond })
	expect("T2 S0 0.40 x 0.40 x_001 0.12 x_002 | 0.40 x_003 .")
	run(20, func(c *Config) { c.PlaylistSize = 3 })
	expect("T2 S3 | 0.40 x_003 | 0.40 x_004 0.40 x_005 .")
	run(10, func(c *Config) { c.PlaylistSize = 3 })
	expect("T2 S4 D1 | 0.40 x_004 0.40 x_005 | 0.40 x_006 .")
	run(1000, func(c *Config) { c.Limits.RotateFrames, c.Keep.Files = 50, 2 })
	got := shape(t, path)
	if m := regexp.MustCompile(`^T2 S(\d+) D4 2.00 \S+ 2.00 \S+ \.$`).FindStringSubmatch(got); m == nil ||
		m[1] != "25" {
		t.Error(got)
	}
	left, err := os.ReadDir(filepath.Join(dir, "a %"))
	if err != nil || len(left) != 2 {
		t.Errorf("%v %v", left, err)
	}
	for _, e := range left {
		if !strings.Contains(got, strings.TrimSuffix(e.Name(), ".ts")) {
			t.Errorf("%s is not in it: %s", e.Name(), got)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".p*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestPlaylistGaps: a jump of the timestamps and a failure of the disk are discontinuities.
func TestPlaylistGaps(t *testing.T) {
	first := tsgen.Frames(tsgen.Options{GOP: 5}, 2000)
	second := tsgen.Frames(tsgen.Options{GOP: 5}, 10)
	tr := newTrial(t, sized{bytes.NewReader(append(first, second...)), 1000}, Limits{RotateFrames: 1000})
	tr.config.Playlist = filepath.Join(t.TempDir(), "p.m3u8")
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if got := shape(t, tr.config.Playlist); strings.Count(got, "|") != 1 || !strings.Contains(got, "cam_001 | ") {
		t.Error(got)
	}
	tr = newTrial(t, sized{bytes.NewReader(first), 1000}, Limits{RotateFrames: 500})
	tr.config.Playlist = filepath.Join(t.TempDir(), "p.m3u8")
	tr.config.Live = true
	tr.disk = &faultyDisk{op: "write", first: 70, last: 70, err: errFault}
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if got := shape(t, tr.config.Playlist); strings.Count(got, "|") != 1 || !strings.HasSuffix(got, ".") {
		t.Error(got)
	}
}

// TestPlaylistAfterCrash: the next start adds files that the manifest has and the playlist lacks.
func TestPlaylistAfterCrash(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 20)
	tr := newTrial(t, sized{bytes.NewReader(b), 500}, Limits{RotateFrames: 5})
	path := filepath.Join(t.TempDir(), "p.m3u8")
	tr.config.Playlist = path
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	whole := shape(t, path)
	m, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.Index(m, []byte("cam_001.ts")) + len("cam_001.ts\n")
	if err := os.WriteFile(path, m[:cut], 0o644); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(tr.config.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(manifest, []byte("\n"))
	if err := os.WriteFile(tr.config.Manifest, bytes.Join(lines[:3], nil), 0o644); err != nil {
		t.Fatal(err)
	}
	next := newTrialIn(t, tr.dir, bytes.NewReader(nil), Limits{})
	next.config.Playlist = path
	if err := next.run(); err != nil {
		t.Fatal(err)
	}
	if got := shape(t, path); strings.ReplaceAll(got, "| ", "") != whole {
		t.Errorf("got  %s\nwant %s", got, whole)
	}
}

// TestDamagedPlaylist: a playlist of any bytes is put aside, what is readable of it stays, and the manifest brings back
// the rest.
func TestDamagedPlaylist(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5}, 20)
	const good = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:4\n"
	for name, tc := range map[string]struct{ content, want string }{
		"notes": {"notes", "T1 S0 0.20 cam 0.20 cam_001 0.20 cam_002 0.20 cam_003 ."},
		"zeros": {strings.Repeat("\x00", 3000), "T1 S0 0.20 cam 0.20 cam_001 0.20 cam_002 0.20 cam_003 ."},
		"zeros at its end": {good + "#EXTINF:0.200000,\nold.ts\n\x00\x00",
			"T1 S4 0.20 old | 0.20 cam 0.20 cam_001 0.20 cam_002 0.20 cam_003 ."},
		"a bad number": {good + "#EXTINF:x,\na.ts\n#EXTINF:0.200000,\nold.ts\n",
			"T1 S4 0.20 old | 0.20 cam 0.20 cam_001 0.20 cam_002 0.20 cam_003 ."},
		"absurd numbers": {"#EXTM3U\n#EXT-X-TARGETDURATION:99999999999\n#EXT-X-MEDIA-SEQUENCE:-3\n",
			"T1 S0 0.20 cam 0.20 cam_001 0.20 cam_002 0.20 cam_003 ."},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial(t, sized{bytes.NewReader(b), 500}, Limits{RotateFrames: 5})
			tr.config.Playlist = filepath.Join(tr.dir, "p.m3u8")
			if err := os.WriteFile(tr.config.Playlist, []byte(tc.content), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := tr.run(); err != nil {
				t.Fatal(err)
			}
			if aside, err := os.ReadFile(tr.config.Playlist + ".damaged-1"); err != nil || string(aside) != tc.content {
				t.Errorf("put aside: %q, %v", aside, err)
			}
			if got := shape(t, tr.config.Playlist); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if !strings.Contains(tr.log.String(), "playlist damaged") {
				t.Errorf("logged %s", tr.log)
			}
		})
	}
}

func TestPlaylistURI(t *testing.T) {
	p := playlist{path: "/a/b/p.m3u8"}
	for path, want := range map[string]string{
		"/a/b/x.ts": "x.ts", "/a/c/x y#?.ts": "../c/x%20y%23%3F.ts", "/a/b/12:00.ts": "./12:00.ts",
		"/a/b/2024/x.ts": "2024/x.ts",
	} {
		if got := p.uri(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if got := strings.Join([]string{seconds(90000 * 3600), seconds(45), seconds(3600)},
		" "); got != "3600.000000 0.000500 0.040000" {
		t.Error(got)
	}
}
