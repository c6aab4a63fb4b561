package record

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestJoined: files joined, less what was injected, are the stream, for any limit and however it arrives.
func TestJoined(t *testing.T) {
	limits := []Limits{
		{},
		{RotateSize: 1}, {RotateSize: 187}, {RotateSize: 1000}, {RotateSize: 33333}, {RotateSize: 100 << 10},
		{RotateSize: 1 << 30},
		{RotateTime: 1}, {RotateTime: 40 * time.Millisecond}, {RotateTime: 333 * time.Millisecond},
		{RotateTime: time.Second},
		{RotateFrames: 1}, {RotateFrames: 7}, {RotateFrames: 12}, {RotateFrames: 13}, {RotateFrames: 31},
		{RotateSize: 50000, RotateTime: 700 * time.Millisecond, RotateFrames: 20},
	}
	streams := map[string][]byte{}
	for _, name := range []string{"mpeg1.ts", "h264.ts", "intra.ts", "bframes.ts", "audio.ts"} {
		b := sample(t, name)
		streams[name] = b[:min(len(b), 400*mpegts.PacketSize)]
	}
	streams["mid"] = streams["h264.ts"][100*mpegts.PacketSize:]
	streams["dirty"] = bytes.Join([][]byte{[]byte("junk"), streams["intra.ts"], []byte("more junk"),
		streams["h264.ts"][:50001]}, nil)
	streams["nokeys"] = tsgen.Frames(tsgen.Options{GOP: 1 << 20, FramePackets: 3}, 100)
	for name, b := range streams {
		for i, l := range limits {
			size := []int{188, 1000, 4097, 1 << 20}[i%4]
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) {
				tr := newTrial(t, sized{bytes.NewReader(b), size}, l)
				if err := tr.run(); err != nil {
					t.Fatal(err)
				}
				files := tr.files()
				if !bytes.Equal(joined(files), b) {
					t.Errorf("%d files do not make up the stream", len(files))
				}
				checkFiles(t, tr, files)
				if c := tr.counts(); c.Confirmed != int64(len(b)) {
					t.Errorf("confirmed %d of %d", c.Confirmed, len(b))
				}
			})
		}
	}
}

// TestLimitsOutOfReach: the largest limits are those of a recording that is never cut.
func TestLimitsOutOfReach(t *testing.T) {
	for _, name := range []string{"mpeg1.ts", "audio.ts", "raw"} {
		b := bytes.Repeat([]byte("raw"), 10_000)
		if name != "raw" {
			b = sample(t, name)
		}
		for _, l := range []Limits{
			{RotateSize: math.MaxInt64}, {RotateFrames: math.MaxInt64}, {RotateTime: math.MaxInt64},
			{StopSize: math.MaxInt64, StopTime: math.MaxInt64, StopFrames: math.MaxInt64},
		} {
			tr := newTrial(t, sized{bytes.NewReader(b), 1000}, l)
			if err := tr.run(); err != nil {
				t.Fatal(err)
			}
			if files := tr.files(); len(files) != 1 || !bytes.Equal(joined(files), b) {
				t.Errorf("%s, %+v: %d files", name, l, len(files))
			}
		}
	}
}

// checkFiles counts the files again, one by one and together, in another way than the writer.
func checkFiles(t *testing.T, tr *trial, files []recorded) {
	t.Helper()
	var frames, keyframes, injected int64
	for _, f := range files {
		s := &segment{temp: f.path}
		if _, err := s.rescan(); err != nil {
			t.Fatal(err)
		}
		// A file that begins mid-GOP without tables may be counted differently when it is read alone.
		if f.StartsAtKeyframe && (s.frames != f.Frames || s.keyframes != f.Keyframes || s.packets != f.Packets) {
			t.Errorf("%s: frames %d, keyframes %d, packets %d, the manifest says %+v", f.File, s.frames, s.keyframes,
				s.packets, f.Entry)
		}
		if s.startsAtKeyframe != f.StartsAtKeyframe {
			t.Errorf("%s: starts_at_keyframe is %v", f.File, f.StartsAtKeyframe)
		}
		frames, keyframes, injected = frames+f.Frames, keyframes+f.Keyframes, injected+f.Injected
	}
	c := tr.counts()
	if c.Frames != frames || c.Keyframes != keyframes || c.Injected != injected || c.Segments != int64(len(files)) {
		t.Errorf("the ledger says %+v %+v, the manifest frames %d, keyframes %d, injected %d", c, c.Recorded, frames,
			keyframes, injected)
	}
}

// TestRotate checks where files end.
func TestRotate(t *testing.T) {
	// Groups of 5 frames: 2 tables, a keyframe of 4 packets, 4 frames of 2 packets: 14 packets, 2632 bytes, 200 ms.
	const group = 14 * mpegts.PacketSize
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 2}, 50)
	noKeys := tsgen.Frames(tsgen.Options{GOP: 1 << 20}, 40)
	longFrames := tsgen.Frames(tsgen.Options{GOP: 1 << 20, KeyPackets: 10, FramePackets: 10}, 40)
	const injected = 2 * mpegts.PacketSize
	for _, tc := range []struct {
		name    string
		stream  []byte
		limits  Limits
		sizes   []int64 // of the files
		reasons string
	}{
		{"size, at a group", b, Limits{RotateSize: 2 * group}, []int64{2 * group, 2 * group, 2 * group, 2 * group,
			2 * group}, "size size size size end"},
		{"size, after it", b, Limits{RotateSize: 2*group + 1}, []int64{3 * group, 3 * group, 3 * group, group},
			"size size size end"},
		{"time", b, Limits{RotateTime: 400 * time.Millisecond}, []int64{2 * group, 2 * group, 2 * group, 2 * group,
			2 * group}, "time time time time end"},
		{"time, after it", b, Limits{RotateTime: 401 * time.Millisecond},
			[]int64{3 * group, 3 * group, 3 * group, group}, "time time time end"},
		{"frames", b, Limits{RotateFrames: 10}, []int64{2 * group, 2 * group, 2 * group, 2 * group, 2 * group},
			"frames frames frames frames end"},
		{"frames, after it", b, Limits{RotateFrames: 11}, []int64{3 * group, 3 * group, 3 * group, group},
			"frames frames frames end"},
		{"the first limit of several", b, Limits{RotateFrames: 40, RotateSize: 5 * group, RotateTime: time.Hour},
			[]int64{5 * group, 5 * group}, "size end"},
		{"no keyframes, size", noKeys, Limits{RotateSize: 10*mpegts.PacketSize + 1},
			[]int64{20 * mpegts.PacketSize, 20 * mpegts.PacketSize, 6 * mpegts.PacketSize}, "size size end"},
		{"no keyframes, size, in a frame", longFrames, Limits{RotateSize: 100*mpegts.PacketSize + 1},
			[]int64{200 * mpegts.PacketSize, 200 * mpegts.PacketSize, 6 * mpegts.PacketSize}, "size size end"},
		{"no keyframes, time", noKeys, Limits{RotateTime: 400 * time.Millisecond},
			[]int64{22 * mpegts.PacketSize, 20*mpegts.PacketSize + injected}, "time end"},
		{"no keyframes, frames", noKeys, Limits{RotateFrames: 15},
			[]int64{32 * mpegts.PacketSize, 10*mpegts.PacketSize + injected}, "frames end"},
	} {
		for _, size := range []int{188, 777, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, size), func(t *testing.T) {
				tr := newTrial(t, sized{bytes.NewReader(tc.stream), size}, tc.limits)
				if err := tr.run(); err != nil {
					t.Fatal(err)
				}
				files := tr.files()
				var sizes []int64
				for _, f := range files {
					sizes = append(sizes, f.Bytes)
				}
				if fmt.Sprint(sizes) != fmt.Sprint(tc.sizes) || reasons(files) != tc.reasons {
					t.Errorf("sizes %v, reasons %s; want %v, %s", sizes, reasons(files), tc.sizes, tc.reasons)
				}
			})
		}
	}
}

// TestAdaptationFieldAlone: a packet without payload after the tables does not decide whether a file starts at a
// keyframe.
func TestAdaptationFieldAlone(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{KeyPackets: 10, NoTables: true}, 4)
	const tables, cut = 2 * mpegts.PacketSize, 5 * mpegts.PacketSize
	b = bytes.Join([][]byte{b[:tables], mpegts.AppendDiscontinuity(nil, mpegts.Packet(b[cut:])), b[cut:]}, nil)
	tr := newTrial(t, bytes.NewReader(b), Limits{})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if files := tr.files(); len(files) != 1 || files[0].StartsAtKeyframe || files[0].Keyframes != 3 {
		t.Errorf("%+v", files)
	}
}

// TestKeyframeWithoutTables: a file with a keyframe but no tables before it does not start at a keyframe.
func TestKeyframeWithoutTables(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, NoTables: true}, 20)[2*mpegts.PacketSize:]
	tr := newTrial(t, bytes.NewReader(b), Limits{})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if files := tr.files(); len(files) != 1 || files[0].StartsAtKeyframe || files[0].Keyframes != 4 {
		t.Errorf("%d files, the first: %+v", len(files), files[0].Entry)
	}
}

// TestTablesAreInjected: every file begins with tables, even if the stream has them only once.
func TestTablesAreInjected(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, NoTables: true}, 25)
	tr := newTrial(t, bytes.NewReader(b), Limits{RotateFrames: 5})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	files := tr.files()
	checkFiles(t, tr, files)
	for i, f := range files {
		if want := int64(min(i, 1) * 2 * mpegts.PacketSize); f.Injected != want || !f.StartsAtKeyframe {
			t.Errorf("%s: injected %d, starts at a keyframe: %v", f.File, f.Injected, f.StartsAtKeyframe)
		}
	}
	if len(files) != 5 || !bytes.Equal(joined(files), b) {
		t.Errorf("%d files", len(files))
	}
}

// TestRaw: raw streams are cut at the byte.
func TestRaw(t *testing.T) {
	b := bytes.Repeat([]byte("0123456789"), 1000)
	tr := newTrial(t, sized{bytes.NewReader(b), 333}, Limits{RotateSize: 3001})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	files := tr.files()
	if len(files) != 4 || files[0].Bytes != 3001 || files[3].Bytes != 997 || !bytes.Equal(joined(files), b) {
		t.Errorf("%d files", len(files))
	}
	for _, f := range files {
		if f.StartsAtKeyframe || f.Packets != 0 || f.PTSStart != nil {
			t.Errorf("%+v", f.Entry)
		}
	}
}

func TestNothing(t *testing.T) {
	tr := newTrial(t, bytes.NewReader(nil), Limits{})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if files := tr.files(); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}
