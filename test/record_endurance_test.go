package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/record"
)

// TestKilledAgainAndAgain: a recorder at 20 Mbit/s is killed at random moments, VW_TEST_KILLS times. Finished files
// match the manifest, the open one is recovered and decodes, and of what the recorder has read only what was on its way
// to the open file is missing.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := read(t, film(t, 70))
	const (
		piece     = 20 * 188
		interval  = piece * 8 * time.Second / 20e6
		onTheWay  = 256 << 10 // one read
		templated = "%Y/cam.ts"
	)
	partials, files := 0, 0
	for round := range setting(t, "VW_TEST_KILLS", 10) {
		folder := memoryFolder(t)
		manifest := filepath.Join(folder, "m.jsonl")
		args := []string{"--rotate-frames", "24", "--manifest", manifest, filepath.Join(folder, templated)}
		if round%2 == 1 {
			args = append([]string{"--live", "--sync", "20ms"}, args...)
		}
		in, w := pipe(t)
		p := start(t, wiring{stdin: in}, "vw-record", args...)
		sent := make(chan int)
		go func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			at := 0
			for at < len(b) {
				n, err := w.Write(b[at:min(at+piece, len(b))])
				at += n
				if err != nil {
					break // closed below
				}
				<-ticker.C
			}
			sent <- at
		}()
		time.Sleep(rand.N(interval * time.Duration(len(b)/piece)))
		p.signal(os.Kill)
		p.wait()
		w.Close()
		taken := <-sent
		if left, err := io.Copy(io.Discard, in); err != nil {
			t.Fatal(err)
		} else if taken -= int(left); taken < 0 {
			t.Fatalf("%d bytes are left in the pipe", left)
		}
		in.Close()
		start(t, wiring{}, "vw-record", args...).expect(0)
		r, missing := readRecording(t, folder, manifest)
		if missing > 0 || !bytes.HasPrefix(b, r.joined) || len(r.joined) > taken || len(r.joined) < taken-onTheWay {
			t.Errorf("round %d: %d bytes of %d are recorded, %d files are missing", round, len(r.joined), taken,
				missing)
		}
		names, err := filepath.Glob(filepath.Join(folder, "*", "*"))
		if hidden, _ := filepath.Glob(filepath.Join(folder, "*", ".vw*")); err != nil || len(hidden) > 0 ||
			len(names) != len(r.entries) {
			t.Errorf("round %d: %d files and hidden ones %v, %d lines (%v)", round, len(names), hidden, len(r.entries),
				err)
		}
		files += len(r.entries)
		for _, e := range r.entries {
			if e.Reason == record.Partial {
				partials++
				decodesWhole(t, filepath.Join(folder, e.File))
			}
		}
	}
	t.Logf("%d files, %d partial ones", files, partials)
}

// usage is the memory and the descriptors of a process.
type usage struct{ kib, descriptors int }

func usageOf(t testing.TB, p *process) (u usage) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	f, err := os.Open(proc + "/status")
	if err != nil {
		t.Skip("SKIPPED: no /proc to see what a process uses")
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			u.kib, _ = strconv.Atoi(strings.Fields(value)[0])
		}
	}
	descriptors, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	u.descriptors = len(descriptors)
	return u
}

// TestManyRotations: over VW_TEST_ROTATIONS files with everything on that could grow, memory and descriptors stay as
// they are, and so do the folder, the manifest, the playlist and the time of a start.
func TestManyRotations(t *testing.T) {
	t.Parallel()
	rotations := setting(t, "VW_TEST_ROTATIONS", 2000)
	const kept = 20
	folder := memoryFolder(t)
	files, manifest, playlist := filepath.Join(folder, "rec"), filepath.Join(folder, "m.jsonl"),
		filepath.Join(folder, "p.m3u8")
	args := []string{
		"--quiet", "--rotate-frames", "1", "--keep-files", strconv.Itoa(kept), "--playlist", playlist,
		"--playlist-size", "10",
		"--sync", "10ms", "--manifest", manifest, filepath.Join(files, "%Y%m%d.ts"),
	}
	startUp := func() time.Duration { // the processor's time: a busy machine adds nothing to it
		p := start(t, wiring{}, "vw-record", args...)
		p.expect(0)
		return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	}
	fresh := startUp()
	in, w := pipe(t)
	p := start(t, wiring{stdin: in}, "vw-record", args...)
	in.Close()
	g := tsgen.New(tsgen.Options{GOP: 1})
	sent := 0
	write := func(n int) {
		for sent < n {
			if _, err := w.Write(g.Frame(nil)); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	finished := func(n int) {
		name := fmt.Sprintf("_%03d.ts", n)
		testwait.Eventually(t, "file "+name, func() bool {
			names, _ := filepath.Glob(filepath.Join(files, "*"+name))
			return len(names) == 1
		})
	}
	settled := func(n int) usage {
		for step := sent + 200; ; step += 200 { // the pipe holds no more than up to the next file that is waited for
			write(min(step, n))
			finished(min(step, n) - 2) // the last one is open, and numbers begin at 0
			if step >= n {
				return usageOf(t, p)
			}
		}
	}
	before := settled(rotations / 2)
	after := settled(rotations)
	w.Close()
	p.expect(0)
	p.all(p.account().In.Bytes)
	t.Logf("%d rotations: %+v, %+v", rotations, before, after)
	// The race detector needs memory of its own.
	if after.kib > before.kib*5/4+4096 || after.descriptors > before.descriptors+4 {
		t.Errorf("%+v after half, %+v at the end", before, after)
	}
	if names := recorded(t, files); len(names) != kept {
		t.Errorf("%d files are kept", len(names))
	}
	r, missing := readRecording(t, files, manifest)
	if len(r.entries) != kept || missing > 16 {
		t.Errorf("%d lines, %d of files that are not there", len(r.entries), missing)
	}
	for i := 1; i < len(r.entries); i++ {
		if before, after := r.entries[i-1], r.entries[i]; *after.PTSStart != *before.PTSStart+tsgen.FrameTicks {
			t.Errorf("%s comes after %s", after.File, before.File)
		}
	}
	if n := bytes.Count(read(t, playlist), []byte("#EXTINF")); n != 10 {
		t.Errorf("%d files in the playlist", n)
	}
	again := startUp()
	t.Logf("a start takes %v, and after all that %v", fresh, again)
	if again > 2*fresh+500*time.Millisecond { // reading the lines of 100,000 files takes longer
		t.Errorf("a start takes %v, and after %d files %v", fresh, rotations, again)
	}
}

// TestPlaylistPlays: ffmpeg plays the playlist from first to last and finds every frame.
func TestPlaylistPlays(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		folder := t.TempDir()
		manifest, playlist := filepath.Join(folder, "m.jsonl"), filepath.Join(folder, "cam.m3u8")
		p := start(t, wiring{stdin: bytes.NewReader(read(t, sample(name)))}, "vw-record",
			"--rotate-time", "1s", "--manifest", manifest, "--playlist", playlist,
			filepath.Join(folder, "rec/%Y/cam.ts"))
		p.expect(0)
		r, _ := readRecording(t, filepath.Join(folder, "rec"), manifest)
		var frames int64
		for _, e := range r.entries {
			frames += e.Frames
		}
		if len(r.entries) < 3 {
			t.Errorf("%s: %d files", name, len(r.entries))
		}
		if bytes.Contains(read(t, playlist), []byte("DISCONTINUITY")) {
			t.Errorf("%s: a discontinuity where there is none:\n%s", name, read(t, playlist))
		}
		decodes(t, playlist)
		if got := probe(t, playlist); got.frames != frames {
			t.Errorf("%s: ffprobe finds %d frames in the playlist, the manifest tells %d", name, got.frames, frames)
		}
	}
}

// TestPlaylistWithGaps: where files could not be written to their end, ffmpeg plays on to the last, and frames are
// missing only at a discontinuity.
func TestPlaylistWithGaps(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	manifest, playlist, ledger := filepath.Join(folder, "m.jsonl"), filepath.Join(folder, "cam.m3u8"),
		filepath.Join(folder, "l.json")
	b := read(t, film(t, 70))
	// Files of 96 frames are mostly shorter than the limit.
	start(t, wiring{stdin: bytes.NewReader(b)}, "bash", "-c", `ulimit -f 240; exec "$@"`, "bash",
		tool(t, "vw-record"), "--live", "--rotate-frames", "96", "--manifest", manifest, "--playlist", playlist,
		"--ledger", ledger, filepath.Join(folder, "cam.ts")).expect(3)
	r, missing := readRecording(t, folder, manifest)
	var frames int64
	gaps := make(map[uint64]bool) // the first PTS after each
	for i, e := range r.entries {
		frames += e.Frames
		if e.Gaps > 0 {
			gaps[*e.PTSStart] = true
			if i == 0 || e.Gaps > 1 || e.Dropped == 0 {
				t.Errorf("%+v", e)
			}
		}
	}
	if missing > 0 || len(gaps) == 0 || len(gaps) == len(r.entries) {
		t.Errorf("%d files, %d of them behind a gap, %d missing", len(r.entries), len(gaps), missing)
	}
	if n := bytes.Count(read(t, playlist), []byte("#EXT-X-DISCONTINUITY\n")); n != len(gaps) {
		t.Errorf("%d gaps, %d discontinuities:\n%s", len(gaps), n, read(t, playlist))
	}
	p, pts := probePTS(t, playlist)
	if p.frames != frames || int64(len(pts)) != frames {
		t.Errorf("ffprobe finds %d frames in the playlist, the manifest tells %d", p.frames, frames)
	}
	for i := 1; i < len(pts); i++ {
		if pts[i] != pts[i-1]+tsgen.FrameTicks && !gaps[pts[i]] {
			t.Errorf("from %d to %d without a gap", pts[i-1], pts[i])
		}
	}
	t.Logf("%d files, %d gaps", len(r.entries), len(gaps))
}

// TestExecOfBuiltTool: the command has default signal handling, and runs for a partial file, too.
func TestExecOfBuiltTool(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	template := filepath.Join(folder, "cam.ts")
	in, w := pipe(t)
	p := start(t, wiring{stdin: in}, "vw-record", template)
	in.Close()
	if _, err := w.Write(read(t, sample("intra.ts"))[:100*188]); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "an open file", func() bool {
		names, _ := filepath.Glob(filepath.Join(folder, ".vw-record-*"))
		if len(names) != 1 {
			return false
		}
		info, err := os.Stat(names[0])
		return err == nil && info.Size() > 0
	})
	p.signal(os.Kill)
	p.wait()
	next := start(t, wiring{stdin: bytes.NewReader(read(t, sample("intra.ts")))}, "vw-record",
		"--exec", `echo "$VW_REASON $(basename "$VW_FILE") $VW_FRAMES"; yes | head -n 1 >/dev/null; cat`, template)
	next.expect(0)
	if log := next.stderr.String(); !strings.Contains(log, "partial cam.partial.ts ") ||
		!strings.Contains(log, "end cam.ts ") ||
		strings.Contains(log, "Broken pipe") || strings.Contains(log, "level=WARN msg=\"the command") ||
		next.stdout.String() != "" {
		t.Errorf("stderr: %s", log)
	}
}
