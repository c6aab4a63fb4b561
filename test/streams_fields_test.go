package test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen/remux"
)

// decodedFrames returns how many frames ffprobe decodes.
func decodedFrames(t testing.TB, file string) int64 {
	t.Helper()
	out, err := exec.Command(tool(t, "ffprobe"), "-v", "error", "-select_streams", "v:0", "-count_frames",
		"-show_entries", "stream=nb_read_frames", "-of", "default=noprint_wrappers=1:nokey=1", file).Output()
	if err != nil {
		t.Fatalf("ffprobe %s: %v", file, err)
	}
	lines := strings.Fields(string(out)) // of a program's stream it prints the same twice
	if len(lines) == 0 {
		t.Fatalf("ffprobe %s: it prints nothing", file)
	}
	n, err := strconv.ParseInt(lines[0], 10, 64)
	if err != nil {
		t.Fatalf("ffprobe %s: %q", file, out)
	}
	return n
}

// TestRecordFields: the two fields of an H.264 frame that are pictures of their own count once, and stay in one file,
// whatever the PES packets hold. (ffprobe -count_packets counts them apart.)
func TestRecordFields(t *testing.T) {
	t.Parallel()
	const frames = 96
	sometimes := func(frame int) bool { return frame >= 36 && frame < 48 }
	for _, s := range []struct {
		name   string
		stream []byte
	}{
		{"fields", tsgen.FieldPictures(frames, tsgen.FieldOptions{GOP: 12})},
		{"fields and frames", tsgen.FieldPictures(frames, tsgen.FieldOptions{GOP: 12, Progressive: sometimes})},
	} {
		for layout, name := range map[remux.Layout]string{
			remux.FramePerPES: "frame", remux.NALPerPES: "NAL", remux.FieldPerPES: "field",
			remux.HeaderAlone: "header alone",
		} {
			for _, once := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, PES of a %s, headers once %v", s.name, name, once), func(t *testing.T) {
					t.Parallel()
					o := remux.Options{Codec: mpegts.StreamH264, Layout: layout, HeadersOnce: once}
					recordFields(t, remux.Stream(s.stream, tsgen.VideoPID, o))
				})
			}
		}
	}
}

// recordFields records a stream of fields, and compares each file with what a decoder makes of it.
func recordFields(t *testing.T, stream []byte) {
	folder := memoryFolder(t)
	manifest := filepath.Join(folder, "m.jsonl")
	start(t, wiring{stdin: bytes.NewReader(stream)}, "vw-record", "--quiet", "--manifest", manifest, "--rotate-frames",
		"20", filepath.Join(folder, "x.ts")).expect(0)
	r, _ := readRecording(t, folder, manifest)
	same(t, "the files, joined", r.joined, stream)
	for i, e := range r.entries {
		file := filepath.Join(folder, e.File)
		packets, first, last := probeVideo(t, file)
		if n := decodedFrames(t, file); n != e.Frames || packets.keyframes != e.Keyframes || !e.StartsAtKeyframe {
			t.Errorf("%d: ffprobe decodes %d frames, and finds %d keyframes: %+v", i, n, packets.keyframes, e)
		}
		// The second field of a PES packet has no PTS: ffprobe makes one, half a frame later.
		if *e.PTSStart != first || *e.PTSEnd != last && *e.PTSEnd+mpegts.ClockRate/50 != last {
			t.Errorf("%d: ffprobe finds PTS from %d to %d: %+v", i, first, last, e)
		}
		decodesAll(t, file)
	}
	if len(r.entries) < 3 {
		t.Errorf("%d files", len(r.entries))
	}

	const frames = 7
	file := filepath.Join(folder, "short.ts")
	start(t, wiring{stdin: bytes.NewReader(stream)}, "vw-record", "--quiet", "--stop-frames", strconv.Itoa(frames),
		file).expect(0)
	if n := decodedFrames(t, file); n != frames {
		t.Errorf("--stop-frames %d makes a file of which ffprobe decodes %d frames", frames, n)
	}
}
