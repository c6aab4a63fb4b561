package mpegts_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/asticode/go-astits"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// scan returns how many packets of a stream bear each mark.
func scan(t testing.TB, stream []byte) (s *mpegts.Scanner, frames, keys, tables int) {
	t.Helper()
	s = new(mpegts.Scanner)
	for _, m := range s.AppendMarks(nil, stream) {
		frames += m.AccessUnits()
		if m&mpegts.RandomAccess != 0 {
			keys++
		}
		if m&mpegts.PSI != 0 {
			tables++
		}
	}
	return s, frames, keys, tables
}

func TestScannerGenerated(t *testing.T) {
	base := tsgen.Options{GOP: 12, KeyPackets: 5, FramePackets: 2}
	cases := map[string]func(*tsgen.Options){
		"plain":                     func(o *tsgen.Options) {},
		"audio's flags are ignored": func(o *tsgen.Options) { o.Audio = true },
		"interleaved audio":         func(o *tsgen.Options) { o.Audio, o.Interleave = true, true },
		"no random access flag":     func(o *tsgen.Options) { o.NoRandomAccess = true },
		"tables only once":          func(o *tsgen.Options) { o.NoTables = true },
		"tables at any frame":       func(o *tsgen.Options) { o.TablesEvery = 5 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			o := base
			change(&o)
			s, frames, keys, _ := scan(t, tsgen.Frames(o, 120))
			if frames != 120 || keys != 10 {
				t.Errorf("%d frames and %d keyframes, want 120 and 10", frames, keys)
			}
			if tables, _ := s.Tables(); tables == nil || tables.PMTPID != tsgen.PMTPID ||
				!tables.Carries(tsgen.VideoPID) {
				t.Errorf("tables: %+v", tables)
			}
		})
	}
}

// TestSkipPayload: Packet has no mark for what SkipPayload skips, and that is most of a stream.
func TestSkipPayload(t *testing.T) {
	streams := map[string][]byte{
		"interleaved audio": tsgen.Frames(tsgen.Options{GOP: 12, FramePackets: 20, Audio: true, Interleave: true}, 120),
	}
	for name := range samples {
		b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		streams[name] = b
	}
	stamped := tsgen.Frames(tsgen.Options{GOP: 12, FramePackets: 20}, 24)
	copy(stamped[9*mpegts.PacketSize+3:], []byte{0x30, 7, 0x10, 0, 0, 0, 0, 0, 0}) // a PCR in the middle of a frame
	streams["PCR in between"] = stamped
	skipped, all := 0, 0
	for _, b := range streams {
		skipped += compareSkipping(t, b)
		all += len(b)
	}
	if skipped < all/2 {
		t.Errorf("%d of %d bytes are skipped", skipped, all)
	}
}

// compareSkipping scans b with SkipPayload and without, and returns how many bytes were skipped.
func compareSkipping(t *testing.T, b []byte) (skipped int) {
	t.Helper()
	var with, without mpegts.Scanner
	for at := 0; at+mpegts.PacketSize <= len(b); {
		n := with.SkipPayload(b[at:])
		skipped += n
		for end := at + n; at < end; at += mpegts.PacketSize {
			p := mpegts.Packet(b[at : at+mpegts.PacketSize])
			_, stamped := p.PCR()
			if mark := without.Packet(p); mark != 0 || stamped || !p.HasPayload() || p[0] != mpegts.SyncByte {
				t.Fatalf("the packet at %d, %x…, must not be skipped: mark %b", at, []byte(p[:8]), mark)
			}
		}
		if at+mpegts.PacketSize > len(b) {
			break
		}
		p := mpegts.Packet(b[at : at+mpegts.PacketSize])
		if a, b := with.Packet(p), without.Packet(p); a != b {
			t.Fatalf("the packet at %d has mark %b, and %b without SkipPayload", at, a, b)
		}
		at += mpegts.PacketSize
	}
	a, aNext := with.Tables()
	c, cNext := without.Tables()
	if aNext != cNext || (a == nil) != (c == nil) || a != nil &&
		!bytes.Equal(a.Append(nil, aNext), c.Append(nil, cNext)) {
		t.Fatal("the tables differ")
	}
	return skipped
}

// TestSkipPayloadLooksAtEachPacket: packets are passed over in twos, and one that is like the video's in some bits
// alone stops that, in either place.
func TestSkipPayloadLooksAtEachPacket(t *testing.T) {
	stream := tsgen.Frames(tsgen.Options{GOP: 12, FramePackets: 8}, 5)
	var s mpegts.Scanner
	s.AppendMarks(nil, stream)
	payload := stream[len(stream)-mpegts.PacketSize:]
	other := bytes.Clone(payload)
	for _, header := range []uint32{0x47000010, 0x47000110, 0x47010000, 0x47410010, 0x05010010} {
		binary.BigEndian.PutUint32(other, header)
		for want, b := range [][]byte{slices.Concat(other, payload), slices.Concat(payload, other)} {
			if n := s.SkipPayload(b); n != want*mpegts.PacketSize {
				t.Errorf("%08x in place %d: %d bytes are passed over", header, want, n)
			}
		}
	}
	if n := s.SkipPayload(slices.Concat(payload, payload, payload)); n != 3*mpegts.PacketSize {
		t.Errorf("%d bytes of payload are passed over", n)
	}
}

func TestScannerWithoutTables(t *testing.T) {
	stream := tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 5, FramePackets: 2, NoTables: true}, 120)
	stream = stream[2*mpegts.PacketSize:] // the only PAT and PMT
	if _, frames, keys, _ := scan(t, stream); frames != 120 || keys != 10 {
		t.Errorf("%d frames and %d keyframes, want 120 and 10", frames, keys)
	}
}

// TestScannerSamples compares with what ffprobe -count_packets says of the samples (test/testdata/README.md).
func TestScannerSamples(t *testing.T) {
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			_, frames, keys, _ := scan(t, b)
			if got := [2]int{frames, keys}; got != want {
				t.Errorf("frames and keyframes %v, want %v", got, want)
			}
		})
	}
}

// TestScannerDoubledPackets: a packet that is sent twice counts once (ISO/IEC 13818-1, 2.4.3.3), whatever it carries.
func TestScannerDoubledPackets(t *testing.T) {
	for name, want := range samples {
		b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, all := range []bool{true, false} {
			var twice []byte
			for p := range slices.Chunk(b, mpegts.PacketSize) {
				twice = append(twice, p...)
				if all || mpegts.Packet(p).PayloadUnitStart() {
					twice = append(twice, p...)
				}
			}
			_, frames, keys, _ := scan(t, twice)
			if got := [2]int{frames, keys}; got != want {
				t.Errorf("%s, all packets doubled %v: frames and keyframes %v, want %v", name, all, got, want)
			}
		}
	}
}

// TestTablesAgainstAstits has an independent implementation read the tables that would be injected.
func TestTablesAgainstAstits(t *testing.T) {
	for name := range samples {
		b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		s, _, _, _ := scan(t, b)
		tables, counters := s.Tables()
		if tables == nil {
			t.Fatalf("%s: no tables", name)
		}
		d := astits.NewDemuxer(context.Background(), bytes.NewReader(tables.Append(nil, counters)),
			astits.DemuxerOptPacketSize(mpegts.PacketSize))
		var got []mpegts.Stream
		for {
			data, err := d.NextData()
			if errors.Is(err, astits.ErrNoMorePackets) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if data.PMT != nil {
				for _, es := range data.PMT.ElementaryStreams {
					got = append(got, mpegts.Stream{PID: es.ElementaryPID, Type: mpegts.StreamType(es.StreamType)})
				}
			}
		}
		if len(got) == 0 || len(got) != len(tables.Streams) {
			t.Fatalf("%s: astits sees %v, we see %v", name, got, tables.Streams)
		}
		for i := range got {
			if got[i] != tables.Streams[i] {
				t.Errorf("%s: astits sees %v, we see %v", name, got, tables.Streams)
			}
		}
	}
}

func TestTablesCounters(t *testing.T) {
	s, _, _, _ := scan(t, tsgen.Frames(tsgen.Options{GOP: 2}, 20)) // ten PATs, counters 0 to 9
	tables, counters := s.Tables()
	if counters.PAT != 9 || counters.PMT != 9 {
		t.Fatalf("counters %+v, want 9 and 9", counters)
	}
	b := tables.Append(nil, mpegts.Counters{PAT: 3, PMT: 0})
	if len(b) != 2*mpegts.PacketSize {
		t.Fatalf("%d bytes of tables", len(b))
	}
	if pat, pmt := mpegts.Packet(b), mpegts.Packet(b[mpegts.PacketSize:]); pat.Continuity() != 3 ||
		pmt.Continuity() != 0 {
		t.Errorf("counters %d and %d, want 3 and 0", pat.Continuity(), pmt.Continuity())
	}
}

func TestDiscontinuity(t *testing.T) {
	next := mpegts.Packet(tsgen.Frames(tsgen.Options{}, 1)[2*mpegts.PacketSize:])
	p := mpegts.Packet(mpegts.AppendDiscontinuity(nil, next[:mpegts.PacketSize]))
	switch {
	case len(p) != mpegts.PacketSize, p[0] != mpegts.SyncByte:
		t.Error("not a packet")
	case p.PID() != next.PID() || p.HasPayload() || !p.Discontinuity() || p.PayloadUnitStart():
		t.Error("not an announcement")
	case (p.Continuity()+1)&0xF != next.Continuity():
		t.Errorf("counter %d before %d", p.Continuity(), next.Continuity())
	}
}

func TestTimestamps(t *testing.T) {
	g := tsgen.New(tsgen.Options{})
	g.Frame(nil)
	p := mpegts.Packet(g.Frame(nil)[2*mpegts.PacketSize:])
	if pts, ok := p.PTS(); !ok || pts != tsgen.FrameTicks {
		t.Errorf("PTS %d, %v; want %d", pts, ok, tsgen.FrameTicks)
	}
	for _, c := range []struct {
		to, from uint64
		want     int64
	}{{5, 3, 2}, {3, 5, -2}, {2, mpegts.ClockModulus - 1, 3}, {mpegts.ClockModulus - 1, 2, -3}} {
		if got := mpegts.ClockDiff(c.to, c.from); got != c.want {
			t.Errorf("ClockDiff(%d, %d) = %d, want %d", c.to, c.from, got, c.want)
		}
	}
}

// FuzzPacket: any 188 bytes, as any packet of a stream, are read without a panic.
func FuzzPacket(f *testing.F) {
	stream := tsgen.Frames(tsgen.Options{GOP: 3, Audio: true}, 6)
	f.Add(stream)
	for name := range samples {
		if b, err := os.ReadFile(filepath.Join("../../test/testdata", name)); err == nil {
			f.Add(b[:20*mpegts.PacketSize])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		compareSkipping(t, b)
		var s mpegts.Scanner
		for ; len(b) >= mpegts.PacketSize; b = b[mpegts.PacketSize:] {
			p := mpegts.Packet(b[:mpegts.PacketSize])
			s.Packet(p)
			p.PTS()
			p.DTS()
			p.PCR()
			p.Discontinuity()
			if n := len(p.Payload()); n > mpegts.PacketSize-4 {
				t.Fatalf("payload of %d bytes", n)
			}
			if tables, counters := s.Tables(); tables != nil &&
				len(tables.Append(nil, counters))%mpegts.PacketSize != 0 {
				t.Fatal("tables are not whole packets")
			}
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	stream := tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30, Audio: true}, 120)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	var s mpegts.Scanner
	for b.Loop() {
		for p := stream; len(p) > 0; p = p[mpegts.PacketSize:] {
			s.Packet(p[:mpegts.PacketSize])
		}
	}
}

// samples are the files of test/testdata with their video frames and their access points; without video, each audio
// frame is one.
var samples = map[string][2]int{
	"mpeg1.ts":   {120, 10},
	"h264.ts":    {100, 4},
	"intra.ts":   {25, 25},
	"bframes.ts": {60, 6},
	"audio.ts":   {0, 77},
}
