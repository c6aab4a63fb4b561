package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen/remux"
)

// codecs are the video codecs whose elementary streams vw reads, with an encoder of ffmpeg's, and one of GStreamer's
// and what it has between encoder and muxer.
var codecs = []struct {
	name     string
	kind     mpegts.StreamType
	ffmpeg   string
	pipeline string
	parser   string
}{
	{"MPEG-1", mpegts.StreamMPEG1Video, "mpeg1video -g 10", "mpeg2enc format=0" + mpeg2encGOP,
		"mpegvideoparse"},
	{"MPEG-2", mpegts.StreamMPEG2Video, "mpeg2video -g 10 -bf 2", "mpeg2enc format=3" + mpeg2encGOP,
		"mpegvideoparse"},
	{"H.264", mpegts.StreamH264, "libx264 -preset ultrafast -g 20 -bf 2",
		"x264enc key-int-max=20 bframes=2", "h264parse config-interval=-1"},
	{"HEVC", mpegts.StreamHEVC, "libx265 -preset ultrafast -g 20 -x265-params log-level=none",
		"x265enc key-int-max=20", "h265parse config-interval=-1"},
}

const mpeg2encGOP = " min-gop-size=12 max-gop-size=12 sequence-header-every-gop=true"

// probeVideo returns what ffprobe finds: the number of frames and of keyframes, and the first and the last PTS that
// the stream has.
func probeVideo(t testing.TB, file string) (p probed, first, last uint64) {
	t.Helper()
	out, err := exec.Command(tool(t, "ffprobe"), "-v", "error", "-select_streams", "v:0", "-show_entries",
		"packet=pts,flags", "-of", "csv=p=0", file).Output()
	if err != nil {
		t.Fatalf("ffprobe %s: %v", file, err)
	}
	for _, line := range strings.Fields(string(out)) {
		text, flags, _ := strings.Cut(line, ",")
		if p.frames++; strings.Contains(flags, "K") {
			p.keyframes++
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			continue // the second frame of a PES packet has none
		}
		pts := uint64(n) & (mpegts.ClockModulus - 1)
		if p.frames == 1 || mpegts.ClockDiff(pts, first) < 0 {
			first = pts
		}
		if p.frames == 1 || mpegts.ClockDiff(pts, last) > 0 {
			last = pts
		}
	}
	return p, first, last
}

// encoded returns two seconds of 25 frames each, of 160x120 pixels, by ffmpeg or by GStreamer, and the PID of the
// video.
func encoded(t testing.TB, muxer, ffmpeg, pipeline string) (stream []byte, video uint16) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "source.ts")
	command := tool(t, "ffmpeg") + " -nostdin -v error -f lavfi -i testsrc2=size=160x120:rate=25 -t 3 -c:v " + ffmpeg +
		" -f mpegts " + file
	if muxer == "gstreamer" {
		command = tool(t, "gst-launch-1.0") + " -q videotestsrc num-buffers=75 pattern=ball ! " +
			"video/x-raw,width=160,height=120,framerate=25/1,format=I420 ! " + pipeline +
			" ! mpegtsmux ! filesink location=" +
			file
	}
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return read(t, file), videoPID(t, file)
}

// videoPID returns the PID of the video in a file.
func videoPID(t testing.TB, file string) uint16 {
	t.Helper()
	var scan mpegts.Scanner
	scan.AppendMarks(nil, read(t, file))
	s, isVideo, _ := scan.Followed()
	if !isVideo {
		t.Fatalf("%s: no video", file)
	}
	return s.PID
}

// eachStream calls check with a stream of every kind: each codec, encoder and muxer, with the parameter sets before
// each keyframe or once, with PES packets of a frame, a NAL unit, two frames, or with the PES header alone in its
// first packet, and with random_access_indicator never, for keyframes, or always.
func eachStream(t *testing.T, check func(t *testing.T, stream []byte, expected probed, o remux.Options)) {
	for _, muxer := range []string{"ffmpeg", "gstreamer"} {
		for _, c := range codecs {
			t.Run(muxer+" "+c.name, func(t *testing.T) {
				t.Parallel()
				source, video := encoded(t, muxer, c.ffmpeg, c.pipeline+" ! "+c.parser)
				for layout, name := range []string{"frame", "NAL", "two frames", "header alone"} {
					for _, once := range []bool{false, true} {
						o := remux.Options{Codec: c.kind, Layout: remux.Layout(layout), HeadersOnce: once}
						expected, _, _ := probeVideo(t, write(t, "s.ts", remux.Stream(source, video, o)))
						for flags, flag := range []string{"keyframes", "never", "always"} {
							o.Flags = remux.Flags(flags)
							t.Run(fmt.Sprintf("PES of a %s, headers once %v, flag %s", name, once, flag),
								func(t *testing.T) {
									check(t, remux.Stream(source, video, o), expected, o)
								})
						}
					}
				}
			})
		}
	}
}

// TestScannerOfAllStreams: frames and keyframes are those that ffprobe finds, whatever the muxer says of them.
func TestScannerOfAllStreams(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, stream []byte, expected probed, o remux.Options) {
		var scan mpegts.Scanner
		var got probed
		var places int64
		for _, mark := range scan.AppendMarks(nil, stream) {
			got.frames += int64(mark.AccessUnits())
			got.keyframes += int64(mark.Keyframes())
			if mark&mpegts.RandomAccess != 0 {
				places++
			}
		}
		if got != expected || places != got.keyframes {
			t.Errorf("%+v, %d keyframes where a cut can be made; ffprobe finds %+v", got, places, expected)
		}
	})
}

// TestParameterSetsInFront: what begins at a later keyframe plays whole in strict decoders once the parameter sets
// are in front of it, and does not without.
func TestParameterSetsInFront(t *testing.T) {
	t.Parallel()
	decoders := map[mpegts.StreamType]string{
		mpegts.StreamMPEG1Video: "mpegvideoparse ! avdec_mpeg2video",
		mpegts.StreamMPEG2Video: "mpegvideoparse ! avdec_mpeg2video",
		mpegts.StreamH264:       "h264parse ! avdec_h264", mpegts.StreamHEVC: "h265parse ! avdec_h265",
	}
	for _, muxer := range []string{"ffmpeg", "gstreamer"} {
		for _, c := range codecs {
			t.Run(muxer+" "+c.name, func(t *testing.T) {
				t.Parallel()
				source, video := encoded(t, muxer, c.ffmpeg, c.pipeline+" ! "+c.parser)
				stream := remux.Stream(source, video, remux.Options{Codec: c.kind, HeadersOnce: true})
				bare, whole, frames := fromKeyframe(stream, 2)
				file := write(t, "whole.ts", whole)
				decodes(t, file)
				if got := probe(t, file); got.frames != frames {
					t.Errorf("ffprobe finds %d frames, want %d", got.frames, frames)
				}
				const leading = 3 // pictures of an open group that nothing can decode, at most
				if got := gstFrames(t, file, decoders[c.kind]); got > frames || got < frames-leading {
					t.Errorf("GStreamer decodes %d frames, want %d", got, frames)
				}
				cmd := exec.Command(tool(t, "ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-i",
					write(t, "bare.ts", bare), "-f", "null", "-")
				if out, _ := cmd.CombinedOutput(); len(out) == 0 {
					t.Error("ffmpeg decodes it without parameter sets: the test shows nothing")
				}
			})
		}
	}
}

// fromKeyframe returns what begins with the n-th keyframe of a stream, from 0, with PAT and PMT in front; and the
// same with the parameter sets; and the number of its frames.
func fromKeyframe(stream []byte, n int) (bare, whole []byte, frames int64) {
	var scan mpegts.Scanner
	undecided := 0
	for at := 0; at < len(stream); at += mpegts.PacketSize {
		mark := scan.Packet(stream[at : at+mpegts.PacketSize])
		keyframe := at
		if mark&mpegts.Decided != 0 && scan.Decision()&mpegts.RandomAccess != 0 {
			keyframe, mark = undecided, scan.Decision()
		}
		if mark&mpegts.Undecided != 0 {
			undecided = at
		}
		if mark&mpegts.RandomAccess == 0 {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		tables, counters := scan.Tables()
		bare = append(tables.Append(nil, counters), stream[keyframe:]...)
		whole = tables.Append(nil, counters)
		if sets := scan.MissingSets(); sets != nil {
			whole = sets.AppendPES(whole, stream[keyframe:keyframe+mpegts.PacketSize])
		}
		whole = append(whole, stream[keyframe:]...)
		break
	}
	for _, mark := range new(mpegts.Scanner).AppendMarks(nil, whole) {
		frames += int64(mark.AccessUnits())
	}
	return bare, whole, frames
}

// gstFrames returns how many pictures GStreamer decodes.
func gstFrames(t testing.TB, file, decoder string) int64 {
	t.Helper()
	pictures := filepath.Join(t.TempDir(), "pictures")
	command := tool(t, "gst-launch-1.0") + " -q filesrc location=" + file + " ! tsdemux ! " + decoder +
		" ! videoconvert ! video/x-raw,format=GRAY8 ! filesink location=" + pictures
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", command, err, out)
		return 0
	}
	return int64(len(read(t, pictures)) / (160 * 120))
}
