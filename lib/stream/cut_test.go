package stream

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestReaderBegins: a chunk begins at each keyframe, with the PSI before it, however the stream arrives.
func TestReaderBegins(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for name, want := range map[string]int{"mpeg1.ts": 10, "h264.ts": 4, "intra.ts": 25, "bframes.ts": 6} {
		b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		marks := new(mpegts.Scanner).AppendMarks(nil, b)
		for _, longest := range []int{100, 6000, 1 << 20} {
			chunks, _ := readAll(t, inPieces(b, random, longest), ReaderOptions{MaxChunk: 32768})
			begins, packet := 0, 0
			for _, c := range chunks {
				for i := 0; i < len(c.Data); i += mpegts.PacketSize {
					m := marks[packet]
					packet++
					if m&mpegts.RandomAccess == 0 {
						continue
					}
					begins++
					if !c.RandomAccess || KeyframeAt(c.Data) != i || c.HasPSI != (i >= 2*mpegts.PacketSize) {
						t.Errorf("%s: a keyframe %d bytes into a chunk: %+v", name, i, c)
					}
				}
			}
			if begins != want {
				t.Errorf("%s: %d keyframes begin chunks, want %d", name, begins, want)
			}
		}
	}
}

// TestTablesBelongToWhatFollowsThem: tables in the middle of a picture are not those of the next keyframe.
func TestTablesBelongToWhatFollowsThem(t *testing.T) {
	const tables = 2 * mpegts.PacketSize
	b := tsgen.Frames(tsgen.Options{GOP: 2, KeyPackets: 5, FramePackets: 5, NoTables: true}, 4)
	keyframe := tables + 10*mpegts.PacketSize
	middle := keyframe - 3*mpegts.PacketSize
	b = slices.Insert(b, middle, b[:tables]...)
	keyframe += tables
	chunks, _ := readAll(t, bytes.NewReader(b), ReaderOptions{Format: TS})
	if len(chunks) != 2 || len(chunks[0].Data) != keyframe || !chunks[0].HasPSI || chunks[1].HasPSI {
		t.Fatalf("%d chunks, the first of %d bytes (want %d): %+v", len(chunks), len(chunks[0].Data), keyframe, chunks)
	}
}

// TestCutTablesAreNoneOfTheKeyframe: a keyframe's chunk has the tables before it only if it begins with them. Tables
// that are in a chunk before it would not be put in front again where a connection begins.
func TestCutTablesAreNoneOfTheKeyframe(t *testing.T) {
	const tables = 2 * mpegts.PacketSize
	b := tsgen.Frames(tsgen.Options{KeyPackets: 5}, 1)
	many := repeatTables(b[:tables], 20) // more than are held back
	for _, test := range []struct {
		name    string
		src     pieces
		longest int
		want    mpegts.Counters // right before the keyframe
	}{
		{"sync is lost in between", pieces{slices.Insert(bytes.Clone(b), tables, make([]byte, 50)...)}, 0,
			mpegts.Counters{}},
		{"there are too many of them", pieces{many, b[tables:]}, 0, mpegts.Counters{PAT: 3, PMT: 3}},
		{"there are too many of them, all at once", pieces{slices.Concat(many, b[tables:])}, 0,
			mpegts.Counters{PAT: 3, PMT: 3}},
		{"there is no room for them", pieces{many[:2*tables], b[tables:]}, mpegts.PacketSize,
			mpegts.Counters{PAT: 1, PMT: 1}},
	} {
		chunks, _ := readAll(t, &test.src, ReaderOptions{Format: TS, MaxChunk: test.longest})
		i := slices.IndexFunc(chunks, func(c Chunk) bool { return c.RandomAccess })
		if i < 0 {
			t.Errorf("%s: no keyframe in %d chunks", test.name, len(chunks))
			continue
		}
		if c := chunks[i]; c.HasPSI || c.PSI == nil || c.Counters != test.want || KeyframeAt(c.Data) != 0 {
			t.Errorf("%s: has tables %v, counters %+v, want %+v", test.name, c.HasPSI, c.Counters, test.want)
		}
	}
}

// repeatTables returns a PAT and a PMT n times, with the counters that they must have.
func repeatTables(tables []byte, n int) (b []byte) {
	for counter := range n {
		for p := range slices.Chunk(bytes.Clone(tables), mpegts.PacketSize) {
			p[3] = p[3]&0xF0 | byte(counter)&0x0F
			b = append(b, p...)
		}
	}
	return b
}

// TestTablesDoNotFillTheBlock: a reader that cannot tell yet what follows a block full of tables goes on reading.
func TestTablesDoNotFillTheBlock(t *testing.T) {
	const tables = 2 * mpegts.PacketSize
	g := tsgen.New(tsgen.Options{KeyPackets: 4})
	first := g.Frame(nil)
	header, rest := headerAlone(first[tables:])
	// Reads of 64, 128 and 256 KiB fill the blocks. The last whole packet in the third one is the header.
	whole := (minBlock + 2*minBlock + maxBlock) / mpegts.PacketSize
	for at := whole - 4; at <= whole; at++ {
		b := repeatTables(first[:tables], whole)[:at*mpegts.PacketSize]
		b = slices.Concat(b, header, rest, repeatTables(first[:tables], 50))
		r := NewReader(bytes.NewReader(b), ReaderOptions{Format: TS})
		for calls := 0; ; calls++ {
			if _, err := r.Next(); err != nil {
				break
			}
			if calls > 1000 {
				t.Fatalf("the header is packet %d: nothing is read any more", at)
			}
		}
		r.Close()
	}
}

// TestBlindCutsAreReported: a stream of which nothing says that it is video or audio is reported, once.
func TestBlindCutsAreReported(t *testing.T) {
	data, err := os.ReadFile("../../test/testdata/audio.ts")
	if err != nil {
		t.Fatal(err)
	}
	warnings := func(kind byte) (n int) {
		b := bytes.Clone(data)
		for p := range slices.Chunk(b, mpegts.PacketSize) {
			if section := p[5:]; mpegts.Packet(p).PID() == 0x1000 {
				section = section[:3+int(section[2])]
				section[12] = kind // the type of the first stream
				crc := section[len(section)-4:]
				binary.BigEndian.PutUint32(crc, mpegts.CRC32(section[:len(section)-4]))
			}
		}
		r := NewReader(bytes.NewReader(b), ReaderOptions{Format: TS, Warn: func(string, string) { n++ }})
		defer r.Close()
		for {
			if _, err := r.Next(); err != nil {
				return n
			}
		}
	}
	if n := warnings(0x06); n != 1 {
		t.Errorf("private data: %d warnings, want 1", n)
	}
	if n := warnings(0x03); n != 0 {
		t.Errorf("audio: %d warnings", n)
	}
}
