package test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/record"
)

// asListed checks that a file is as long as its line says, by its frames and by its timestamps.
func asListed(t testing.TB, folder string, e record.Entry) {
	t.Helper()
	p, pts := probePTS(t, filepath.Join(folder, e.File))
	if p.frames != e.Frames || p.keyframes != e.Keyframes || p.frames != int64(len(pts)) {
		t.Errorf("%s: ffprobe counts %d frames, %d of them key, %d PTS; the manifest says %d frames and %d keyframes",
			e.File, p.frames, p.keyframes, len(pts), e.Frames, e.Keyframes)
		return
	}
	first, last := clockRange(pts)
	if first != *e.PTSStart || last != *e.PTSEnd {
		t.Errorf("%s: from %d to %d, says ffprobe; from %d to %d, says the manifest", e.File, first, last,
			*e.PTSStart, *e.PTSEnd)
	}
}

// TestOddLimits: a recording of VW_TEST_SECONDS, faster than real time, at limits that match nothing in the stream.
// ffprobe finds in each file what the manifest says, and joined they are the stream.
func TestOddLimits(t *testing.T) {
	t.Parallel()
	b := read(t, film(t, setting(t, "VW_TEST_SECONDS", 40)))
	for _, limit := range [][]string{
		{"--rotate-time", "7301ms"}, {"--rotate-size", "333333"}, {"--rotate-frames", "97"},
		{"--rotate-time", "11s", "--rotate-size", "700001", "--rotate-frames", "251"},
	} {
		t.Run(strings.Join(limit, " "), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			manifest := filepath.Join(folder, "m.jsonl")
			p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-record",
				append(limit, "--manifest", manifest, filepath.Join(folder, "%Y", "cam-%H%M%S.ts"))...)
			p.expect(0)
			p.all(int64(len(b)))
			r, missing := readRecording(t, folder, manifest)
			same(t, "the files, joined", r.joined, b)
			var next uint64
			for i, e := range r.entries {
				asListed(t, folder, e)
				isLast := i == len(r.entries)-1
				if !e.StartsAtKeyframe || e.Gaps != 0 || (e.Reason == record.End) != isLast || i > 0 &&
					*e.PTSStart != next {
					t.Errorf("%+v", e)
				}
				next = *e.PTSEnd + mpegts.ClockRate/25
			}
			if missing > 0 || len(r.entries) < 4 {
				t.Errorf("%d files, %d missing", len(r.entries), missing)
			}
			t.Logf("%d files", len(r.entries))
		})
	}
}

// TestClockOfStream: --rotate-time goes by the stream's clock, across its wrap, and at a jump a new file begins, after
// a discontinuity. Each file lasts as long as asked for, except at a splice and at the end.
func TestClockOfStream(t *testing.T) {
	t.Parallel()
	original := film(t, 20)
	moved := func(seconds float64) []byte {
		file := filepath.Join(t.TempDir(), "moved.ts")
		start(t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-i", original, "-c", "copy", "-muxdelay", "0.001",
			"-output_ts_offset", fmt.Sprint(seconds), "-f", "mpegts", file).expect(0)
		return read(t, file)
	}
	const wrap = float64(mpegts.ClockModulus) / mpegts.ClockRate
	for _, tc := range []struct {
		name            string
		stream          []byte
		splices         int
		discontinuities int
	}{
		{"wrap", moved(wrap - 7.1), 0, 0},
		{"back", append(moved(1000), moved(5)...), 1, 1},
		{"ahead", append(moved(5), moved(1000)...), 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder := t.TempDir()
			manifest, playlist := filepath.Join(folder, "m.jsonl"), filepath.Join(folder, "p.m3u8")
			// four groups
			p := start(t, wiring{stdin: bytes.NewReader(tc.stream)}, "vw-record", "--rotate-time", "1920ms",
				"--manifest", manifest, "--playlist", playlist, filepath.Join(folder, "cam.ts"))
			p.expect(0)
			r, _ := readRecording(t, folder, manifest)
			same(t, "the files, joined", r.joined, tc.stream)
			odd, changes := 0, 0
			for _, e := range r.entries[:len(r.entries)-1] {
				if e.Reason != record.Time && e.Reason != record.Anew || !e.StartsAtKeyframe {
					t.Errorf("%+v", e)
				}
				if e.Reason == record.Anew {
					changes++
				}
				if e.Frames != 48 {
					odd++
					continue
				}
				asListed(t, folder, e)
			}
			if odd > tc.splices || changes != tc.splices {
				t.Errorf("%d files are not of 48 frames, %d end at a change", odd, changes)
			}
			if n := bytes.Count(read(t, playlist), []byte("#EXT-X-DISCONTINUITY\n")); n != tc.discontinuities {
				t.Errorf("%d discontinuities in\n%s", n, read(t, playlist))
			}
		})
	}
}
