package mpegts_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// check returns what a Checker finds in a stream that comes in one piece.
func check(stream []byte) (mpegts.Report, []string) {
	c := mpegts.NewChecker()
	c.Write(stream)
	c.End()
	return c.Report(), c.Problems()
}

func TestCheckerSamples(t *testing.T) {
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			b := sample(t, name)
			f, trouble := check(b)
			if len(trouble) > 0 {
				t.Errorf("trouble: %q", trouble)
			}
			if want[0] == 0 {
				want[1] = 0 // audio has no frames here
			}
			if f.Packets != int64(len(b)/mpegts.PacketSize) || [2]int{int(f.Frames), int(f.Keyframes)} != want ||
				f.Gaps != 0 {
				t.Errorf("got %+v, want %d frames, %d keyframes", f, want[0], want[1])
			}
		})
	}
}

// find returns the index of the n-th packet, from 0, for which ok is true.
func find(t *testing.T, b []byte, n int, ok func(mpegts.Packet) bool) int {
	t.Helper()
	for i := 0; i < len(b)/mpegts.PacketSize; i++ {
		if ok(b[i*mpegts.PacketSize:][:mpegts.PacketSize]) {
			if n == 0 {
				return i
			}
			n--
		}
	}
	t.Fatal("no such packet")
	return 0
}

// filtered returns the packets of b that keep says.
func filtered(b []byte, keep func(mpegts.Packet) bool) (kept []byte) {
	for ; len(b) > 0; b = b[mpegts.PacketSize:] {
		if p := mpegts.Packet(b[:mpegts.PacketSize]); keep(p) {
			kept = append(kept, p...)
		}
	}
	return kept
}

func TestCheckerMutations(t *testing.T) {
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		clean, _ := check(sample(t, name))
		for title, m := range mutations {
			t.Run(name+"/"+title, func(t *testing.T) { m.test(t, sample(t, name), clean) })
		}
	}
}

// test checks the mutated b, of which clean is the report otherwise.
func (m mutation) test(t *testing.T, b []byte, clean mpegts.Report) {
	const size = mpegts.PacketSize
	at := find(t, b, m.n, m.which) * size
	b = m.mutate(b, at)
	says := strings.NewReplacer("@1", fmt.Sprint(at+size), "@2", fmt.Sprint(at+2*size), "@", fmt.Sprint(at),
		"#", fmt.Sprint(at/size), "$", fmt.Sprint(len(b)-len(b)%size)).Replace(m.says)
	want := clean
	m.want(&want)
	got, trouble := check(b)
	// What the first PAT's loss does to the count of PMTs and frames depends on where the next one
	// stands; without any tables, nothing says whose the timestamps are.
	if !want.StartsAtKeyframe {
		want.Frames, want.Keyframes, want.PMTs = got.Frames, got.Keyframes, got.PMTs
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := strings.Join(trouble, "\n"); !strings.Contains(got, says) || (says == "") != (got == "") {
		t.Errorf("trouble %q, want %q in it", got, says)
	}
}

// TestCheckerPlace: the place is that of the packet after the loss.
func TestCheckerPlace(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 2}, 10)
	b = append(b[:3*mpegts.PacketSize], b[4*mpegts.PacketSize:]...)
	_, trouble := check(b)
	const want = "1 continuity errors, the first at byte 564 (packet 3, PID 0x0100): " +
		"counter 2 instead of 1 [47 01 00 12 "
	if len(trouble) != 2 || !strings.HasPrefix(trouble[0], want) || trouble[1] != "no PCR" {
		t.Errorf("got %q, want %q", trouble, want)
	}
}

// TestCheckerStreams: the figures of a good stream, and what its PIDs carry.
func TestCheckerStreams(t *testing.T) {
	c := mpegts.NewChecker()
	c.Write(sample(t, "mpeg1.ts"))
	c.End()
	if f := c.Report(); f.PATs != 41 || f.PMTs != 41 || f.PCRs != 60 || f.GOPMin != 12 ||
		f.GOPMax != 12 || f.PCRIntervalMax != 80 {
		t.Errorf("%+v", f)
	}
	got := ""
	for _, s := range c.Streams() {
		got += fmt.Sprintf("%#x %s, ", s.PID, s.Codec)
	}
	if got != "0x0 PAT, 0x11 SDT, 0x100 MPEG-2 video, 0x101 MPEG-1 audio, 0x1000 PMT, " {
		t.Errorf("streams %s", got)
	}
}

// TestCheckerBehindJunk: a place is counted in all bytes, and a second run of junk is a second error.
func TestCheckerBehindJunk(t *testing.T) {
	const size, junk = mpegts.PacketSize, 5000
	b := sample(t, "mpeg1.ts")
	n := find(t, b, 20, func(p mpegts.Packet) bool { return p.PID() == tsgen.VideoPID && !p.PayloadUnitStart() })
	lost := find(t, b, 40, func(p mpegts.Packet) bool {
		return p.PID() == tsgen.VideoPID && !p.PayloadUnitStart() && p.Continuity() == 3
	})
	noise := make([]byte, junk)
	b = bytes.Join([][]byte{b[:n*size], noise, b[n*size : lost*size], b[(lost+1)*size : len(b)-50*size], noise,
		b[len(b)-50*size:]}, nil)
	f, trouble := check(b)
	says := strings.Join(trouble, "\n")
	for _, want := range []string{
		fmt.Sprintf("2 sync errors, the first at byte %d [", n*size),
		fmt.Sprintf("1 continuity errors, the first at byte %d (packet %d, ", lost*size+junk, lost),
	} {
		if !strings.Contains(says, want) || f.SyncErrors != 2 {
			t.Errorf("%q, want %q", says, want)
		}
	}
}

// TestCheckerGap: several PIDs that announce, each where it resumes, are one gap.
func TestCheckerGap(t *testing.T) {
	for _, all := range []bool{false, true} {
		g := tsgen.New(tsgen.Options{GOP: 4, Audio: true, KeyPackets: 3})
		var b []byte
		for gop := range 6 {
			var group []byte
			for range 4 {
				group = g.Frame(group)
			}
			if gop%2 == 1 {
				continue
			}
			announced := map[uint16]bool{}
			for p := group; len(p) > 0; p = p[mpegts.PacketSize:] {
				packet := mpegts.Packet(p[:mpegts.PacketSize])
				pid := packet.PID()
				if gop > 0 && !announced[pid] && (all || pid < tsgen.PMTPID) {
					announced[pid] = true
					b = mpegts.AppendDiscontinuity(b, packet)
				}
				b = append(b, packet...)
			}
		}
		f, _ := check(b)
		wantErrors := int64(2) // of the PMT, in both gaps
		if all {
			wantErrors = 0
		}
		if f.Gaps != 2 || f.ContinuityErrors != wantErrors || f.Frames != 12 || f.Keyframes != 3 {
			t.Errorf("all %v: got %+v, want 2 gaps and %d continuity errors", all, f, wantErrors)
		}
	}
}

// TestCheckerGapTwice: the packet that announces a gap, sent twice, is one frame and one gap.
func TestCheckerGapTwice(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	at := keyframes(b)[3]
	p := mpegts.Packet(b[at : at+mpegts.PacketSize])
	p[5] |= 0x80 // discontinuity_indicator
	want, _ := check(b)
	want.Packets++
	want.Duplicates++
	got, trouble := check(bytes.Join([][]byte{b[:at], p, b[at:]}, nil))
	if got != want || want.Gaps != 1 || len(trouble) > 0 {
		t.Errorf("got  %+v %q\nwant %+v", got, trouble, want)
	}
}

func TestCheckerOtherBytes(t *testing.T) {
	random := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{1}).Read(random)
	two := tsgen.Frames(tsgen.Options{}, 1)[:2*mpegts.PacketSize]
	for name, c := range map[string]struct {
		stream []byte
		want   mpegts.Report
	}{
		"empty":       {nil, mpegts.Report{}},
		"random":      {random, mpegts.Report{SyncErrors: 1}},
		"one byte":    {[]byte{mpegts.SyncByte}, mpegts.Report{SyncErrors: 1}},
		"two packets": {two, mpegts.Report{Packets: 2, PATs: 1, PMTs: 1}},
		"junk in front": {append(random[:1000:1000], two...), mpegts.Report{SyncErrors: 1, Packets: 2, PATs: 1,
			PMTs: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := check(c.stream); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// FuzzChecker: however a stream is cut into pieces, the reports are the same, and no packet is counted twice.
func FuzzChecker(f *testing.F) {
	stream := tsgen.Frames(tsgen.Options{GOP: 3, Audio: true}, 6)
	f.Add(stream, uint64(1))
	f.Add(append(stream[:700:700], stream[300:]...), uint64(2))
	f.Add(sample(f, "intra.ts")[:30*mpegts.PacketSize], uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		want, _ := check(b)
		random := rand.New(rand.NewPCG(seed, 0))
		c := mpegts.NewChecker()
		for rest := b; len(rest) > 0; {
			n := min(1+random.IntN(400), len(rest))
			c.Write(rest[:n])
			rest = rest[n:]
		}
		c.End()
		if got := c.Report(); got != want {
			t.Errorf("in pieces %+v\nin one    %+v", got, want)
		}
		if want.Packets > int64(len(b)/mpegts.PacketSize) {
			t.Errorf("%d packets in %d bytes", want.Packets, len(b))
		}
		if want.SyncErrors == 0 && want.Packets*mpegts.PacketSize != int64(len(b)) {
			t.Errorf("%d packets in %d bytes, and no sync error", want.Packets, len(b))
		}
	})
}

func BenchmarkChecker(b *testing.B) {
	stream := tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30, Audio: true}, 120)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	c := mpegts.NewChecker()
	c.Write(stream)
	for b.Loop() {
		c.Write(stream)
	}
}
