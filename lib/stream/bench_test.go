package stream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// sampleLoops returns the streams of test/testdata, which ffmpeg has made, as endless sources whose reads bring size
// bytes, and the file that VW_TEST_STREAM names.
func sampleLoops(t testing.TB, size int) map[string]*loop {
	t.Helper()
	files, err := filepath.Glob("../../test/testdata/*.ts")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	if file := os.Getenv("VW_TEST_STREAM"); file != "" {
		files = append(files, file)
	}
	loops := map[string]*loop{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pieces := slices.Collect(slices.Chunk(data[:len(data)/mpegts.PacketSize*mpegts.PacketSize], size))
		loops[strings.TrimSuffix(filepath.Base(file), ".ts")] = &loop{pieces: pieces}
	}
	return loops
}

// rounds reads the source n times from its beginning to its end.
func (l *loop) rounds(t testing.TB, r *Reader, n int) {
	for range n * len(l.pieces) {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkReader measures reader and scanner for a stream that arrives in pieces of 4 KiB.
func BenchmarkReader(b *testing.B) {
	for name, src := range sampleLoops(b, 4096) {
		b.Run(name, func(b *testing.B) {
			size := 0
			for _, piece := range src.pieces {
				size += len(piece)
			}
			r := NewReader(src, ReaderOptions{Format: TS})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				src.rounds(b, r, 1)
			}
			packets := float64(b.N * size / mpegts.PacketSize)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets, "ns/packet")
		})
	}
}

// TestReaderAllocatesNothing: once a stream is known, nothing is allocated for it, whatever its codec.
func TestReaderAllocatesNothing(t *testing.T) {
	for name, src := range sampleLoops(t, 4096) {
		r := NewReader(src, ReaderOptions{Format: TS})
		src.rounds(t, r, 3)
		if n := testing.AllocsPerRun(10, func() { src.rounds(t, r, 1) }); n > 0 {
			t.Errorf("%s: %g allocations in %d reads", name, n, len(src.pieces))
		}
	}
}
