package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// pieces is a source that brings the given pieces, one a read.
type pieces [][]byte

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	if (*p)[0] = (*p)[0][n:]; len((*p)[0]) == 0 {
		*p = (*p)[1:]
	}
	return n, nil
}

// inPieces cuts b at random.
func inPieces(b []byte, r *rand.Rand, longest int) *pieces {
	var p pieces
	for len(b) > 0 {
		n := min(1+r.IntN(longest), len(b))
		p = append(p, b[:n])
		b = b[n:]
	}
	return &p
}

// readAll returns the chunks of a source, with bytes of their own, and checks what holds for all of them.
func readAll(t testing.TB, src io.Reader, o ReaderOptions) (chunks []Chunk, format Format) {
	t.Helper()
	r := NewReader(src, o)
	defer r.Close()
	read, cut := 0, 0
	for {
		b, err := r.Next()
		if err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			break
		}
		read += b.N
		for _, c := range b.Chunks {
			if len(c.Data) == 0 {
				t.Fatal("an empty chunk")
			}
			if o.MaxChunk > 0 && len(c.Data) > max(o.MaxChunk, mpegts.PacketSize) {
				t.Fatalf("a chunk of %d bytes, more than %d", len(c.Data), o.MaxChunk)
			}
			if c.Kind == Packets && len(c.Data)%mpegts.PacketSize != 0 {
				t.Fatalf("a chunk of %d bytes splits a packet", len(c.Data))
			}
			cut += len(c.Data)
			c.Data = bytes.Clone(c.Data)
			chunks = append(chunks, c)
		}
		if cut > read {
			t.Fatalf("%d bytes in chunks of %d read", cut, read)
		}
	}
	return chunks, r.format
}

func join(chunks []Chunk) []byte {
	var b []byte
	for _, c := range chunks {
		b = append(b, c.Data...)
	}
	return b
}

func TestReaderLosesNothing(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 7, FramePackets: 3, Audio: true}, 60)
	garbage := make([]byte, 5000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	inputs := map[string][]byte{
		"TS":                    ts,
		"TS with a torn end":    ts[:len(ts)-100],
		"TS behind garbage":     append(bytes.Clone(garbage[:300]), ts...),
		"TS around garbage":     append(append(bytes.Clone(ts), garbage...), ts...),
		"TS with a lost byte":   append(bytes.Clone(ts[:10000]), ts[10001:]...),
		"garbage":               garbage,
		"sync bytes only":       bytes.Repeat([]byte{mpegts.SyncByte}, 3000),
		"one byte":              {mpegts.SyncByte},
		"one packet":            ts[:mpegts.PacketSize],
		"nothing":               nil,
		"a megabyte of nothing": make([]byte, 1<<20),
	}
	for name, input := range inputs {
		t.Run(name, func(t *testing.T) {
			for _, o := range []ReaderOptions{{}, {Format: TS}, {Format: Raw}, {MaxChunk: 1000},
				{Format: TS, MaxChunk: 10}} {
				for _, longest := range []int{1, 187, 189, 5000, 1 << 20} {
					if len(input)/longest > 20000 {
						continue
					}
					chunks, _ := readAll(t, inPieces(input, random, longest), o)
					if !bytes.Equal(join(chunks), input) {
						t.Fatalf("%+v, pieces of up to %d: what came out is not what went in", o, longest)
					}
				}
			}
		})
	}
}

func TestReaderKinds(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 3}, 20)
	junk := bytes.Repeat([]byte{1}, 77)
	input := append(append(append(bytes.Clone(ts), junk...), ts...), ts[:100]...)
	chunks, format := readAll(t, bytes.NewReader(input), ReaderOptions{})
	if format != TS {
		t.Errorf("format %v, want ts", format)
	}
	sum := map[Kind]int{}
	for _, c := range chunks {
		sum[c.Kind] += len(c.Data)
	}
	if sum[Packets] != 2*len(ts) || sum[Unsynced] != len(junk) || sum[Partial] != 100 {
		t.Errorf("packets %d, junk %d, torn %d; want %d, %d, 100", sum[Packets], sum[Unsynced], sum[Partial], 2*len(ts),
			len(junk))
	}
}

func TestReaderFormat(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5}, 20)
	cases := map[string]struct {
		input []byte
		want  Format
	}{
		"TS":                          {ts, TS},
		"TS from byte 300 on":         {append(make([]byte, 300), ts...), TS},
		"TS too late":                 {append(make([]byte, 1000), ts...), Raw},
		"two packets":                 {ts[:2*mpegts.PacketSize], Raw},
		"two packets and a sync byte": {ts[:2*mpegts.PacketSize+1], TS},
		"text":                        {bytes.Repeat([]byte("GOP? "), 200), Raw},
		"nothing":                     {nil, Raw},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, src := range []io.Reader{bytes.NewReader(c.input), iotest.OneByteReader(bytes.NewReader(c.input))} {
				if _, got := readAll(t, src, ReaderOptions{}); got != c.want {
					t.Errorf("format %v, want %v", got, c.want)
				}
			}
		})
	}
}

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

func TestReaderDoesNotWaitForMore(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	rd := NewReader(r, ReaderOptions{})
	defer rd.Close()
	for _, piece := range []string{"too little to tell", "x", "yz"} {
		if _, err := w.WriteString(piece); err != nil {
			t.Fatal(err)
		}
		b, err := rd.Next()
		if err != nil || len(b.Chunks) != 1 || string(b.Chunks[0].Data) != piece {
			t.Fatalf("%+v, %v; want %q", b, err, piece)
		}
	}
}

func TestReaderStop(t *testing.T) {
	for _, before := range []string{"", "ab", "\x47 and so on"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		rd := NewReader(r, ReaderOptions{Format: TS})
		if _, err := w.WriteString(before); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if before != "" {
			b, err := rd.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = join(b.Chunks)
		}
		timer := time.AfterFunc(10*time.Millisecond, rd.Stop)
		for {
			b, err := rd.Next()
			if err != nil {
				if err != io.EOF {
					t.Errorf("%v, want EOF", err)
				}
				break
			}
			got = append(got, join(b.Chunks)...)
		}
		if string(got) != before {
			t.Errorf("%q at the end, want %q", got, before)
		}
		timer.Stop()
		rd.Close()
		r.Close()
		w.Close()
	}
}

func TestReaderReturnsTheError(t *testing.T) {
	broken := errors.New("broken")
	src := io.MultiReader(bytes.NewReader([]byte("data")), iotest.ErrReader(broken))
	r := NewReader(src, ReaderOptions{})
	defer r.Close()
	b, err := r.Next()
	if err != nil || b.N != 4 || string(join(b.Chunks)) != "data" {
		t.Fatalf("%+v, %v", b, err)
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("%v, want the source's error", err)
	}
}

func FuzzReader(f *testing.F) {
	ts := tsgen.Frames(tsgen.Options{GOP: 3, Audio: true}, 6)
	f.Add(ts, uint64(1))
	f.Add(append([]byte("G"), ts...), uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		o := ReaderOptions{Format: Format(seed % 3), MaxChunk: int(seed>>2%2) * 400}
		chunks, _ := readAll(t, inPieces(b, random, 1+random.IntN(2000)), o)
		if !bytes.Equal(join(chunks), b) {
			t.Fatal("what came out is not what went in")
		}
	})
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
