package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestDamagedManifest: whatever bytes are in it, recording goes on, good lines stay, lost ones are rebuilt from the
// files, and the damaged file is put aside.
func TestDamagedManifest(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 40)
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(bytes.TrimSpace(b), []byte("\n")) }
	for name, damage := range map[string]func([]byte) []byte{
		"zeros at the end": func(b []byte) []byte { return append(b, make([]byte, 300)...) },
		"zeros and a line": func(b []byte) []byte {
			return append(bytes.Join(lines(b)[:7], nil), zeros+string(lines(b)[7])+"\n"...)
		},
		"a bad line at the top": func(b []byte) []byte { return append([]byte("oops\n"), b...) },
		"a bad line within":     func(b []byte) []byte { lines(b)[3][0] = 'x'; return b },
		"nothing but zeros":     func([]byte) []byte { return make([]byte, 5000) },
		"noise":                 noise,
		"a long line":           func(b []byte) []byte { return append(bytes.Repeat([]byte("x"), 3*maxLine), b...) },
		"a second half":         func(b []byte) []byte { return b[len(b)/2:] },
		"another file":          func([]byte) []byte { return []byte("not yours\nreally") },
		"other JSON":            func([]byte) []byte { return []byte(`[1]` + "\n" + `{"file":7}` + "\n{}\n") },
	} {
		for _, live := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, live), func(t *testing.T) {
				first := newTrial(t, sized{bytes.NewReader(b), 500}, Limits{RotateFrames: 5})
				if err := first.run(); err != nil {
					t.Fatal(err)
				}
				before := first.files()
				old, err := os.ReadFile(first.config.Manifest)
				if err != nil {
					t.Fatal(err)
				}
				bad := damage(bytes.Clone(old))
				if err := os.WriteFile(first.config.Manifest, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				tr := newTrialIn(t, first.dir, sized{bytes.NewReader(b), 500}, Limits{RotateFrames: 5})
				tr.config.Live = live
				if err := tr.run(); err != nil {
					t.Fatal(err)
				}
				aside := tr.config.Manifest + ".damaged-1"
				if got, err := os.ReadFile(aside); err != nil || !bytes.Equal(got, bad) {
					t.Errorf("put aside: %v", err)
				}
				if !strings.Contains(tr.log.String(), "manifest damaged") {
					t.Errorf("logged: %s", tr.log)
				}
				_ = os.Remove(aside)
				after := tr.files()
				if len(after) != 2*len(before) {
					t.Fatalf("%d files, want %d; %s", len(after), 2*len(before), tr.log)
				}
				for i, f := range before {
					if g := after[i]; g.File != f.File || g.SHA256 != f.SHA256 || g.Frames != f.Frames ||
						g.Packets != f.Packets {
						t.Errorf("line %d: %+v, want %+v", i, g.Entry, f.Entry)
					}
				}
			})
		}
	}
}

func noise(b []byte) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestDamageWhileRecording: damage that happens between two files is repaired when the next line is written.
func TestDamageWhileRecording(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 100)
	var tr *trial
	in := bytes.NewReader(b)
	tr = newTrial(t, readerFunc(func(p []byte) (int, error) {
		if left := in.Len(); left == len(b)*3/4 || left == len(b)/2 {
			want := int64(len(b)-left) / (int64(len(b)) / 20) // files, one of which is still open
			testwait.Poll(func() bool { r := tr.counts().Recorded; return r != nil && r.Segments >= want-1 })
			f, err := os.OpenFile(tr.config.Manifest, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return 0, err
			}
			info, _ := f.Stat()
			_, _ = f.WriteAt(make([]byte, 700), info.Size()-500)
			_ = f.Close()
		}
		return in.Read(p[:min(len(p), 188)])
	}), Limits{RotateFrames: 5})
	tr.config.Manifest = filepath.Join(t.TempDir(), "m.jsonl")
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if got := joined(tr.files()); !bytes.Equal(got, b) {
		t.Errorf("%d bytes of %d are listed; %s", len(got), len(b), tr.log)
	}
	if n := strings.Count(tr.log.String(), "manifest damaged"); n == 0 {
		t.Errorf("damaged %d times: %s", n, tr.log)
	}
}

// TestTornLine: a line that a crash has cut off is replaced, and one that lacks only its newline is kept. Neither is
// damage.
func TestTornLine(t *testing.T) {
	line := `{"file":"x.ts","reason":"end"}`
	for content, want := range map[string]string{
		line + "\n" + line[:9]: line + "\n", line + "\n" + line: line + "\n" + line + "\n", line[:3]: "", "": "",
		line: line + "\n", line + "\n": line + "\n",
	} {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		m := &manifest{path: path, throttled: &logRecorder{}}
		if err := m.setExec(fileKey{"y.ts", "00"}, Done); err != nil {
			t.Fatal(err)
		}
		want += `{"file":"y.ts","sha256":"00","exec":"done"}` + "\n"
		if b, _ := os.ReadFile(path); string(b) != want {
			t.Errorf("%q became %q, want %q", content, b, want)
		}
		if m.repaired {
			t.Errorf("%q counts as damage", content)
		}
	}
}

// TestAppendSynced: what a failed write or sync has left is not there when the lines are written again.
func TestAppendSynced(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		path := filepath.Join(t.TempDir(), "m")
		created, err := osDisk{}.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer created.Close()
		f := &faultyFile{created, &faultyDisk{op: op, first: 2, last: 3, err: errFault, short: 2}}
		for i, line := range []string{"one\n", "two\n", "two\n", "two\n"} {
			size := int64(min(i, 1) * len("one\n"))
			if err := appendSynced(f, size, []byte(line)); (err != nil) != (i == 1 || i == 2) {
				t.Errorf("%s %d: %v", op, i, err)
			}
		}
		if b, _ := os.ReadFile(path); string(b) != "one\ntwo\n" {
			t.Errorf("after a failed %s: %q", op, b)
		}
	}
}

// FuzzManifest: any bytes can be loaded, appended to and compacted, and afterwards all is readable.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"file":"x.ts","reason":"end"}` + "\n" + `{"file":"x.ts","sha256":"","exec":"todo"}` + "\n\x00\x00"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(folder(t), "m")
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		m := &manifest{path: path, throttled: &logRecorder{}, deleted: make(map[string]int)}
		before, _ := readAll(t, path)
		for _, step := range []func() error{
			func() error { return m.add(Entry{File: "new.ts", Reason: End, Exec: Todo}) },
			func() error { _, err := m.load(); return err },
			func() error {
				m.inserts = []insert{{Entry: Entry{File: "other.ts", Reason: Partial}}}
				return m.flush()
			},
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		l, isDamaged := readAll(t, path)
		if isDamaged || len(l.entries) < len(before.entries)+1 || !l.files["new.ts"] || !l.files["other.ts"] {
			t.Errorf("%q: before %d entries, after %d, damaged %v", b, len(before.entries), len(l.entries), isDamaged)
		}
	})
}

func readAll(t *testing.T, path string) (listed, bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return readListed(f)
}
