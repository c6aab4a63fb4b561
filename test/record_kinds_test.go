package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen/remux"
	"github.com/timdrysdale/vw/lib/record"
)

// recordedFiles records a stream, and returns the lines of the manifest. It checks that joined the files are the
// stream, less what was injected, that each decodes from its first packet, and that its line is what ffprobe finds.
// With hasAllPTS each frame of the stream has a PTS of its own.
func recordedFiles(t *testing.T, stream []byte, hasAllPTS bool, flags ...string) []record.Entry {
	t.Helper()
	folder := memoryFolder(t)
	manifest := filepath.Join(folder, "m.jsonl")
	args := append([]string{"--quiet", "--manifest", manifest, "--playlist", filepath.Join(folder, "p.m3u8")}, flags...)
	start(t, wiring{stdin: bytes.NewReader(stream)}, "vw-record",
		append(args, filepath.Join(folder, "x.ts"))...).expect(0)
	r, _ := readRecording(t, folder, manifest)
	if !bytes.Equal(r.joined, stream) {
		t.Errorf("joined the files have %d bytes, want the %d of the stream", len(r.joined), len(stream))
	}
	for i, e := range r.entries {
		file := filepath.Join(folder, e.File)
		p, pts := probePTS(t, file)
		first, last := clockRange(pts)
		if p.frames != e.Frames || p.keyframes != e.Keyframes {
			t.Errorf("%d: ffprobe finds %+v, the manifest says %d frames, %d keyframes", i, p, e.Frames, e.Keyframes)
		}
		if e.PTSStart == nil || hasAllPTS && (*e.PTSStart != first || *e.PTSEnd != last) {
			t.Errorf("%d: ffprobe finds PTS from %d to %d; the manifest says %+v", i, first, last, e)
		}
		if !e.StartsAtKeyframe {
			t.Errorf("%d: it does not start at a keyframe", i)
		}
		decodesAll(t, file)
	}
	playlist, err := os.ReadFile(filepath.Join(folder, "p.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for _, e := range r.entries {
		if e.Reason == record.Anew {
			changes++
		}
	}
	if n := strings.Count(string(playlist), "#EXT-X-DISCONTINUITY\n"); n != changes {
		t.Errorf("%d changes, and the playlist has %d discontinuities", changes, n)
	}
	return r.entries
}

// decodesAll is decodes, but for what the null muxer says of timestamps: of two frames in a PES packet one has none.
func decodesAll(t *testing.T, file string) {
	t.Helper()
	cmd := exec.Command(tool(t, "ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-i", file,
		"-f", "null", "-")
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if err != nil || !strings.Contains(line, "increasing dts to muxer") &&
			!strings.Contains(line, "Last message repeated") {
			t.Errorf("ffmpeg does not decode %s: %v\n%s", file, err, out)
			return
		}
	}
}

// TestRecordStreamsOfAllKinds: each file plays alone, whatever encoder and muxer have made the stream.
func TestRecordStreamsOfAllKinds(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, stream []byte, expected probed, o remux.Options) {
		if o.Flags != 0 {
			t.Skip("SKIPPED: the flag makes no difference to a recorder that reads the elementary stream")
		}
		entries := recordedFiles(t, stream, o.Layout != remux.TwoFramesPerPES, "--rotate-frames", "20")
		var frames int64
		for _, e := range entries {
			frames += e.Frames
		}
		if len(entries) < 2 || frames != expected.frames {
			t.Errorf("%d files with %d frames, want %d", len(entries), frames, expected.frames)
		}
	})
}

// TestRecordAnotherEncoder: a file ends where the codec changes or the clock goes back, and an encoder in a restart
// loop does not make a file each time.
func TestRecordAnotherEncoder(t *testing.T) {
	t.Parallel()
	h264, _ := encoded(t, "ffmpeg", codecs[2].ffmpeg, "")
	mpeg2, _ := encoded(t, "ffmpeg", codecs[1].ffmpeg, "")
	for name, second := range map[string][]byte{"another codec": mpeg2, "the same codec": h264} {
		t.Run(name, func(t *testing.T) {
			entries := recordedFiles(t, append(bytes.Clone(h264), second...), true)
			if len(entries) != 2 || entries[0].Reason != record.Anew || entries[1].Reason != record.End {
				t.Errorf("%d files: %+v", len(entries), entries)
			}
		})
	}
	t.Run("restart loop", func(t *testing.T) {
		folder := memoryFolder(t)
		manifest := filepath.Join(folder, "m.jsonl")
		start(t, wiring{stdin: bytes.NewReader(bytes.Repeat(h264, 10))}, "vw-record", "--quiet", "--manifest", manifest,
			filepath.Join(folder, "x.ts")).expect(0)
		r, _ := readRecording(t, folder, manifest)
		if len(r.entries) != 2 || *r.entries[1].PTSStart > *r.entries[1].PTSEnd ||
			mpegts.ClockDiff(*r.entries[1].PTSEnd, *r.entries[1].PTSStart) > 4*mpegts.ClockRate {
			t.Errorf("%d files: %+v", len(r.entries), r.entries)
		}
	})
}

// TestRecordStopsAfterFrames: so many frames are recorded whatever the layout of the PES packets, also when the stream
// ends with a packet that nothing is known of.
func TestRecordStopsAfterFrames(t *testing.T) {
	t.Parallel()
	source, video := encoded(t, "ffmpeg", codecs[2].ffmpeg, "")
	for _, layout := range []remux.Layout{remux.FramePerPES, remux.NALPerPES, remux.HeaderAlone} {
		stream := remux.Stream(source, video, remux.Options{Codec: mpegts.StreamH264, Layout: layout})
		last, frames := 0, int64(0)
		for i, mark := range new(mpegts.Scanner).AppendMarks(nil, stream) {
			if mark&mpegts.AccessUnit != 0 {
				last = i * mpegts.PacketSize
				frames++
			}
		}
		undecided := stream[:last+mpegts.PacketSize] // with HeaderAlone nothing but the PES header of the last frame
		for _, n := range []int64{1, 7, frames} {
			file := filepath.Join(memoryFolder(t), "x.ts")
			start(t, wiring{stdin: bytes.NewReader(undecided)}, "vw-record", "--quiet", "--stop-frames", itoa(int(n)),
				file).expect(0)
			got := read(t, file)
			if !bytes.HasPrefix(stream, got) || n == frames && len(got) != len(undecided) {
				t.Errorf("layout %d: %d bytes of %d, not the stream's", layout, len(got), len(undecided))
			}
			if p := probe(t, file); n < frames && p.frames != n {
				t.Errorf("layout %d: ffprobe finds %d frames, want %d", layout, p.frames, n)
			}
		}
	}
}
