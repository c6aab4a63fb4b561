package testserver

import (
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// BenchmarkReceive measures one publisher at full speed, with what every connection has: time stamps, the hash and the
// MPEG-TS check.
func BenchmarkReceive(b *testing.B) {
	for name, size := range map[string]int{"7 packets": 7 * 188, "64 KiB": 348 * 188} {
		b.Run(name, func(b *testing.B) {
			stream := tsgen.Frames(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30}, 120)
			s := start(b, Options{Conns: 1})
			c := dial(b, s.URL(), wsconn.DialOptions{})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				if at+size > len(stream) {
					at = 0
				}
				if err := c.Write(b.Context(), stream[at:at+size]); err != nil {
					b.Fatal(err)
				}
				at += size
			}
			if err := c.Close(testContext(b), 1000, ""); err != nil {
				b.Fatal(err)
			}
			wait(b, s, nil)
		})
	}
}
