package stream

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/iotest"

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

// TestReaderLosesNothing: whatever comes and however it is cut, the chunks together are what was read.
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
		"TS after garbage":      append(bytes.Clone(garbage[:300]), ts...),
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

// TestReaderKinds: packets, bytes between them, and part of a packet at the end are chunks of different kinds.
func TestReaderKinds(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 3}, 20)
	unsynced := bytes.Repeat([]byte{1}, 77)
	input := slices.Concat(ts, unsynced, ts, ts[:100])
	chunks, format := readAll(t, bytes.NewReader(input), ReaderOptions{})
	if format != TS {
		t.Errorf("format %v, want ts", format)
	}
	sum := map[Kind]int{}
	for _, c := range chunks {
		sum[c.Kind] += len(c.Data)
	}
	if sum[Packets] != 2*len(ts) || sum[Unsynced] != len(unsynced) || sum[Partial] != 100 {
		t.Errorf("packets %d, unsynced %d, partial %d; want %d, %d, 100", sum[Packets], sum[Unsynced], sum[Partial],
			2*len(ts), len(unsynced))
	}
}

// TestReaderFormat: Auto takes a stream for TS by three sync bytes that stand a packet apart within the first KiB.
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

// TestReaderDoesNotWaitForMore: raw bytes come out as they are read, though more of them may follow.
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

// TestReaderReturnsTheError: the error of the source comes after everything that was read.
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

// FuzzReader looks for an input and a way to read it with which bytes are lost or change places.
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
