package record

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// nullDisk discards everything.
type nullDisk struct{ osDisk }

func (nullDisk) Create(string) (file, error) { return nullFile{io.Discard}, nil }

type nullFile struct{ io.Writer }

func (nullFile) Close() error         { return nil }
func (nullFile) Truncate(int64) error { return nil }
func (nullFile) Sync() error          { return nil }
func (nullFile) SyncData() error      { return nil }
func (nullFile) Check() error         { return nil }

// BenchmarkWriteDelivery measures the writer without a disk for one delivery of a camera. It must not allocate.
func BenchmarkWriteDelivery(b *testing.B) {
	for _, hashed := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "hashed"}[hashed]
		b.Run(name, func(b *testing.B) {
			data := tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30}, 12)
			reader := stream.NewReader(bytes.NewReader(data), stream.ReaderOptions{Format: stream.TS, MaxChunk: 6580})
			defer reader.Close()
			batch, err := reader.Next()
			if err != nil {
				b.Fatal(err)
			}
			w := &writer{
				template: mustTemplate(b, filepath.Join(b.TempDir(), "x.ts")), disk: nullDisk{}, hashed: hashed,
				limits:  Limits{RotateSize: 1 << 60, RotateTime: 1000 * time.Hour, RotateFrames: 1 << 60},
				account: stream.NewLedger("vw-record").Open("x"), throttled: &logRecorder{},
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(batch.Chunks[0].Data)))
			n := 0
			var p stream.Delivery
			for b.Loop() {
				c := batch.Chunks[n%len(batch.Chunks)]
				n++
				p = stream.Delivery{
					Data: c.Data, Size: len(c.Data), ReceivedAt: c.ReceivedAt, Kind: c.Kind,
					RandomAccess: c.RandomAccess, HasPSI: c.HasPSI, PSI: c.PSI, Counters: c.Counters,
				}
				if err := w.write(context.Background(), &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
