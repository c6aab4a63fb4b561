package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// probed is what ffprobe finds of the video in a file or a playlist.
type probed struct{ frames, keyframes int64 }

func probe(t testing.TB, file string) probed {
	t.Helper()
	p, _ := probePTS(t, file)
	return p
}

// probePTS also returns the PTS of the frames in decoding order, in units of 1/90000 s, with ffprobe's unrolling of the
// wrap undone. The second frame of a PES packet has none.
func probePTS(t testing.TB, file string) (p probed, pts []uint64) {
	t.Helper()
	out, err := ffprobe(t, file).Output()
	if err != nil {
		t.Fatalf("ffprobe %s: %v", file, err)
	}
	return parseProbe(out)
}

// ffprobe lists the video's packets of a file, for parseProbe.
func ffprobe(t testing.TB, file string) *exec.Cmd {
	t.Helper()
	return exec.Command(tool(t, "ffprobe"), "-v", "error", "-select_streams", "v:0", "-show_entries",
		"packet=pts,flags", "-of", "csv=p=0", file)
}

func parseProbe(out []byte) (p probed, pts []uint64) {
	for _, line := range strings.Fields(string(out)) { // there are empty lines between
		text, flags, _ := strings.Cut(line, ",")
		p.frames++
		if strings.Contains(flags, "K") {
			p.keyframes++
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			pts = append(pts, uint64(n)&(mpegts.ClockModulus-1))
		}
	}
	return p, pts
}

// clockRange returns the earliest and the latest PTS.
func clockRange(pts []uint64) (first, last uint64) {
	for i, n := range pts {
		if i == 0 || mpegts.ClockDiff(n, first) < 0 {
			first = n
		}
		if i == 0 || mpegts.ClockDiff(n, last) > 0 {
			last = n
		}
	}
	return first, last
}

// decodes checks that ffmpeg decodes a file without one error.
func decodes(t testing.TB, file string) {
	t.Helper()
	cmd := exec.Command(tool(t, "ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-i", file,
		"-f", "null", "-")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("ffmpeg does not decode %s: %v\n%s", file, err, out)
	}
}

// decodesWhole does the same for a recording that a publisher may have left off in the middle of its last access unit:
// up to that.
func decodesWhole(t testing.TB, file string) {
	t.Helper()
	b := read(t, file)
	last, frames := len(b), 0
	for i, mark := range new(mpegts.Scanner).AppendMarks(nil, b) {
		if mark&mpegts.AccessUnit != 0 {
			last = i * mpegts.PacketSize
			frames++
		}
	}
	if frames > 1 {
		decodes(t, write(t, "whole.ts", b[:last]))
	}
}

// startsWithKeyframe checks that a recording begins with PAT, PMT and a keyframe.
func startsWithKeyframe(t testing.TB, file string) {
	t.Helper()
	b := read(t, file)
	var seen mpegts.Mark
	for _, mark := range new(mpegts.Scanner).AppendMarks(nil, b) {
		seen |= mark
		if mark&mpegts.PSI != 0 {
			continue
		}
		if both := mpegts.PAT | mpegts.PMT; seen&both != both || mark&mpegts.RandomAccess == 0 {
			t.Errorf("%s does not begin with PAT, PMT and a keyframe", file)
		}
		return
	}
	t.Errorf("%s has nothing but tables", file)
}

// checkStats compares what the server saw with what ffprobe says.
func checkStats(t testing.TB, c connection, want probed, bytes int64) {
	t.Helper()
	if c.Bytes != bytes {
		t.Errorf("%d bytes arrived, want %d", c.Bytes, bytes)
	}
	if c.TS.Frames != want.frames || c.TS.Keyframes != want.keyframes {
		t.Errorf("the server saw %+v, ffprobe %+v", c.TS, want)
	}
	if c.TS.SyncErrors != 0 || c.TS.ContinuityErrors != 0 || c.TS.Gaps != 0 || !c.TS.StartsAtKeyframe {
		t.Errorf("the server saw errors: %+v", c.TS)
	}
}

// TestFileStreamedByFFmpegOverHTTP: a file streamed by ffmpeg in real time: the stats at the receiving end are right.
func TestFileStreamedByFFmpegOverHTTP(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "--conns", "1", "--expect-clean")
			rec := filepath.Join(t.TempDir(), "rec")
			p := pipeline(t, nil,
				stage{"vw-ingest", []string{"--listen", "127.0.0.1:0", "--once"}},
				stage{"vw-record", []string{"--tee", "--rotate-time", "1s", "--manifest", filepath.Join(t.TempDir(),
					"m.jsonl"), filepath.Join(rec, "%Y%m%dT%H%M%SZ.ts")}},
				stage{"vw-push", []string{s.url}})
			f := start(t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-re", "-i", sample(name), "-c", "copy",
				"-f", "mpegts", "-muxdelay", "0.001", ingestURL(p[0]))
			f.expect(0)
			for _, p := range p {
				p.expect(0)
			}
			s.expect(0)
			arrived := s.saved(1)
			for _, p := range p {
				p.all(int64(len(arrived)))
			}
			checkStats(t, s.report().Connections[0], probe(t, sample(name)), int64(len(arrived)))
			decodes(t, write(t, "arrived.ts", arrived))
			files := recorded(t, rec)
			if len(files) < 3 {
				t.Errorf("files %v of a stream of 4 s, rotated each second", files)
			}
			var joined []byte
			frames := int64(0)
			for _, file := range files {
				startsWithKeyframe(t, file)
				decodes(t, file)
				frames += probe(t, file).frames
				joined = append(joined, read(t, file)...)
			}
			same(t, "the recording", joined, arrived)
			if frames != probe(t, sample(name)).frames {
				t.Errorf("%d frames recorded", frames)
			}
		})
	}
}

// TestFFmpegIntoPush: the same, directly into vw-push over a pipe.
func TestFFmpegIntoPush(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			t.Parallel()
			s := serve(t, "--conns", "1", "--expect-clean")
			args := []string{s.url}
			if live {
				args = append([]string{"--live"}, args...)
			}
			p := pipeline(t, nil,
				stage{"ffmpeg", strings.Fields("-nostdin -v error -re -i " + sample("mpeg1.ts") +
					" -c copy -f mpegts -muxdelay 0.001 -")},
				stage{"vw-push", args})
			p[0].expect(0)
			p[1].expect(0)
			s.expect(0)
			arrived := s.saved(1)
			p[1].all(int64(len(arrived)))
			checkStats(t, s.report().Connections[0], probe(t, sample("mpeg1.ts")), int64(len(arrived)))
		})
	}
}

// TestSampleToTwoServers: the sample stream with ffmpeg to two servers that save: both files are equal and complete.
func TestSampleToTwoServers(t *testing.T) {
	t.Parallel()
	a, b := serve(t, "--conns", "1"), serve(t, "--conns", "1")
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0", "--once"}},
		stage{"vw-push", []string{"--live", a.url, b.url}})
	start(t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-re", "-i", sample("h264.ts"), "-c", "copy",
		"-f", "mpegts", "-muxdelay", "0.001", ingestURL(p[0])).expect(0)
	for _, p := range p {
		p.expect(0)
	}
	a.expect(0)
	b.expect(0)
	same(t, "the second server's file", b.saved(1), a.saved(1))
	for _, p := range p {
		p.all(int64(len(a.saved(1))))
	}
	checkStats(t, b.report().Connections[0], probe(t, sample("h264.ts")), int64(len(a.saved(1))))
}

// TestTeeInTheShell is the pipeline of the README with tee and process substitution.
func TestTeeInTheShell(t *testing.T) {
	t.Parallel()
	a, b := serve(t, "--conns", "1"), serve(t, "--conns", "1")
	folder, ledgers := t.TempDir(), t.TempDir()
	script := `vw-ingest --listen 127.0.0.1:0 --once --ledger "$4/ingest" |
		tee -p >(vw-record --live --rotate-frames 24 --ledger "$4/record" "$1/%Y%m%dT%H%M%SZ.ts") \
			>(vw-push --live --ledger "$4/push 2" "$2") | vw-push --live --ledger "$4/push 3" "$3"`
	folderOfTools := filepath.Dir(tool(t, "vw-push"))
	sh := start(t, wiring{}, "env", "PATH="+folderOfTools+":"+os.Getenv("PATH"), "bash", "-c", script, "bash", folder,
		a.url, b.url, ledgers)
	url := sh.find(sh.stderr, `msg=listening .*url=(\S+)`)
	start(t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-re", "-i", sample("mpeg1.ts"), "-c", "copy",
		"-f", "mpegts", "-muxdelay", "0.001", url).expect(0)
	sh.expect(0) // and all of its children, which hold its stderr
	a.expect(0)
	b.expect(0)
	same(t, "the servers' files", a.saved(1), b.saved(1))
	for _, name := range []string{"ingest", "record", "push 2", "push 3"} {
		s, ok := readLedger(t, filepath.Join(ledgers, name), "vw-"+strings.Fields(name)[0])
		if want := int64(len(a.saved(1))); !ok || s.Ended == nil || s.In.Bytes != want || s.Out[0].Confirmed != want {
			t.Errorf("%s does not account for %d bytes: %+v", name, want, s)
		}
	}
	var joined []byte
	files := recorded(t, folder)
	for _, file := range files {
		startsWithKeyframe(t, file)
		decodes(t, file)
		joined = append(joined, read(t, file)...)
	}
	if len(files) != 5 {
		t.Errorf("%d files of 120 frames, rotated each 24", len(files))
	}
	same(t, "the recording", joined, a.saved(1))
}

// TestEachRotationPlaysAlone: files cut by size, time and frames begin with a keyframe and decode alone, and joined
// they are the stream.
func TestEachRotationPlaysAlone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mpeg1.ts", "h264.ts", "intra.ts"} {
		for _, limit := range [][]string{{"--rotate-size", "50KiB"}, {"--rotate-time", "700ms"},
			{"--rotate-frames", "13"}} {
			t.Run(name+" "+limit[0], func(t *testing.T) {
				t.Parallel()
				rec := t.TempDir()
				b := read(t, sample(name))
				p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-record",
					append(limit, filepath.Join(rec, "%Y%m%dT%H%M%SZ.ts"))...)
				p.expect(0)
				s := p.account()
				var joined []byte
				var frames int64
				for _, file := range recorded(t, rec) {
					startsWithKeyframe(t, file)
					decodes(t, file)
					frames += probe(t, file).frames
					joined = append(joined, read(t, file)...)
				}
				if s.Out[0].Injected == 0 {
					same(t, "the recording", joined, b)
				} else if got := int64(len(joined)); got != int64(len(b))+s.Out[0].Injected {
					t.Errorf("%d bytes recorded of %d, %d of them injected", got, len(b), s.Out[0].Injected)
				}
				if r := s.Out[0].Recorded; r == nil || r.Frames != frames || frames != probe(t, sample(name)).frames {
					t.Errorf("the ledger counts %+v, ffprobe %d frames", r, frames)
				}
			})
		}
	}
}

// TestSaveOnlySoMuch: --stop-* saves exactly that much, and the pipeline ends in order.
func TestSaveOnlySoMuch(t *testing.T) {
	t.Parallel()
	b := read(t, sample("mpeg1.ts"))
	for _, c := range []struct {
		flag, value string
		check       func(t *testing.T, file string)
	}{
		{"--stop-frames", "50", func(t *testing.T, file string) {
			if got := probe(t, file).frames; got != 50 {
				t.Errorf("%d frames", got)
			}
		}},
		{"--stop-size", "100000", func(t *testing.T, file string) {
			if got := len(read(t, file)); got != 100000/mpegts.PacketSize*mpegts.PacketSize {
				t.Errorf("%d bytes", got)
			}
		}},
		{"--stop-time", "2s", func(t *testing.T, file string) {
			_, pts := probePTS(t, file)
			first, last := clockRange(pts)
			if d := mpegts.ClockDiff(last, first); d < 1.9*mpegts.ClockRate || d > 2.01*mpegts.ClockRate {
				t.Errorf("%d ticks of the clock", d)
			}
		}},
	} {
		t.Run(c.flag, func(t *testing.T) {
			rec := t.TempDir()
			p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-record", c.flag, c.value,
				filepath.Join(rec, "x.ts"))
			p.expect(0)
			s := p.account()
			if s.Dropped() != 0 || s.Out[0].Dropped.Stop == 0 && s.In.Bytes == int64(len(b)) {
				t.Errorf("%+v", s.Out)
			}
			files := recorded(t, rec)
			if len(files) != 1 {
				t.Fatalf("%v", files)
			}
			c.check(t, files[0])
			same(t, "the recording", read(t, files[0]), b[:len(read(t, files[0]))])
		})
	}
}
