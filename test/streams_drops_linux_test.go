package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen/remux"
)

// grainy returns four seconds of video at 3 Mbit/s, in groups of five frames, that begin at the given second, and the
// PID of the video.
func grainy(t testing.TB, size, encoder string, second int) (stream []byte, video uint16) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "grainy.ts")
	command := fmt.Sprintf("%s -nostdin -v error -f lavfi -i testsrc2=size=%s:rate=25,noise=alls=30:allf=t -t 4 "+
		"-c:v %s -g 5 -b:v 3M -maxrate 3M -bufsize 1M -output_ts_offset %d -f mpegts %s", tool(t, "ffmpeg"), size,
		encoder, second, file)
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return read(t, file), videoPID(t, file)
}

// muxedByGStreamer returns a stream as GStreamer's muxer puts it together, and the PID of the video.
func muxedByGStreamer(t testing.TB, stream []byte, parser string) (muxed []byte, video uint16) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "muxed.ts")
	command := fmt.Sprintf("%s -q filesrc location=%s ! tsdemux ! %s ! mpegtsmux ! filesink location=%s",
		tool(t, "gst-launch-1.0"), write(t, "source.ts", stream), parser, file)
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return read(t, file), videoPID(t, file)
}

// pushThroughStall pushes the parts of a stream with --live, faster than its pace, to a server that stands still after
// the first bytes until vw-push has read all, so that groups in the middle are dropped. Each part comes when vw-push
// has read the one before. It checks what each connection brought, and returns the connections. Hidden is how many
// frames more the last PES packet may hold than the scanner sees there.
func pushThroughStall(t *testing.T, hidden int64, parts ...[]byte) (conns []connection) {
	t.Helper()
	s := serve(t)
	in, out := pipe(t)
	push := start(t, wiring{stdin: in}, "vw-push", "--live", "--max-age", "1m", "--buffer", "512KiB", "--linger",
		testTimeout.String(), s.url)
	in.Close()
	// The rest comes when the first bytes have arrived: before, it would be dropped in front of the connection.
	const head = 64 << 10
	if _, err := out.Write(parts[0][:head]); err != nil {
		t.Fatal(err)
	}
	s.receives(1, 1)
	s.signal(syscall.SIGSTOP)
	parts[0] = parts[0][head:]
	for _, part := range parts {
		if _, err := out.Write(part); err != nil {
			t.Fatal(err)
		}
		testwait.Eventually(t, "vw-push has read all", func() bool {
			n, err := unix.IoctlGetInt(int(out.Fd()), unix.TIOCINQ)
			return err == nil && n == 0
		})
	}
	s.signal(syscall.SIGCONT)
	out.Close()
	push.expect(3)
	s.signal(syscall.SIGTERM)
	conns = s.report().Connections
	for i, c := range conns {
		file := write(t, fmt.Sprintf("%d.ts", i+1), s.saved(i+1))
		want, _, _ := probeVideo(t, file)
		if c.TS.Frames > want.frames || c.TS.Frames < want.frames-hidden || c.TS.Keyframes != want.keyframes ||
			!c.TS.StartsAtKeyframe || c.TS.ContinuityErrors+c.TS.SyncErrors > 0 {
			t.Errorf("connection %d: %+v; ffprobe finds %+v", i+1, c.TS, want)
		}
		decodesAll(t, file)
	}
	if dropped := push.account().Out[0].Dropped; dropped.Full+dropped.Resync == 0 {
		t.Errorf("nothing was dropped: %+v", dropped)
	}
	return conns
}

// TestDropsInAllStreams: a connection from whose middle groups were dropped decodes, whatever the muxer has made. Each
// codec and muxer has each flag in some layout; with VW_TEST_FLAGS=1, in all.
func TestDropsInAllStreams(t *testing.T) {
	t.Parallel()
	for i, c := range codecs {
		for m, muxer := range []string{"ffmpeg", "gstreamer"} {
			t.Run(muxer+" "+c.name, func(t *testing.T) {
				t.Parallel()
				source, video := grainy(t, "320x240", c.ffmpeg, 1)
				if muxer == "gstreamer" {
					source, video = muxedByGStreamer(t, source, c.parser)
				}
				dropsInLayouts(t, source, video, c.kind, i+m)
			})
		}
	}
}

// dropsInLayouts drops from the middle of a stream in each layout of PES packets. Shift says with which flag to begin.
func dropsInLayouts(t *testing.T, source []byte, video uint16, codec mpegts.StreamType, shift int) {
	n := shift
	for layout, name := range []string{"frame", "NAL", "two frames", "header alone"} {
		for _, once := range []bool{false, true} {
			if layout > 0 && !once {
				continue // it says nothing that the others do not
			}
			n++
			for flags, flag := range []string{"keyframes", "never", "always"} {
				if flags != n%3 && setting(t, "VW_TEST_FLAGS", 0) == 0 {
					continue
				}
				t.Run(fmt.Sprintf("PES of a %s, headers once %v, flag %s", name, once, flag), func(t *testing.T) {
					o := remux.Options{
						Codec: codec, Layout: remux.Layout(layout), HeadersOnce: once, Flags: remux.Flags(flags),
					}
					hidden := int64(0)
					if o.Layout == remux.TwoFramesPerPES {
						hidden = 1
					}
					conns := pushThroughStall(t, hidden, remux.Stream(source, video, o))
					if len(conns) != 1 || conns[0].TS.Gaps == 0 {
						t.Errorf("want one connection with gaps: %+v", conns)
					}
				})
			}
		}
	}
}

// TestSetsChangeInGap: where the parameter sets have changed in a gap and do not come again, a new connection begins,
// with them in front.
func TestSetsChangeInGap(t *testing.T) {
	t.Parallel()
	for _, c := range codecs[2:] {
		t.Run(c.name, func(t *testing.T) {
			o := remux.Options{Codec: c.kind, HeadersOnce: true}
			var parts [][]byte
			for i, size := range []string{"320x240", "352x288"} {
				part, video := grainy(t, size, c.ffmpeg, 1+4*i)
				parts = append(parts, remux.Stream(part, video, o))
			}
			if conns := pushThroughStall(t, 0, parts...); len(conns) != 2 {
				t.Errorf("%d connections, want 2: %+v", len(conns), conns)
			}
		})
	}
}
