package record

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// prefix returns what stands before the first packet for which stop returns true.
func prefix(b []byte, stop func(frame int, p mpegts.Packet) bool) []byte {
	var scan mpegts.Scanner
	frames := 0
	for i := 0; i < len(b); i += mpegts.PacketSize {
		p := mpegts.Packet(b[i : i+mpegts.PacketSize])
		if scan.Packet(p)&mpegts.AccessUnit != 0 {
			if stop(frames, p) {
				return b[:i]
			}
			frames++
		}
	}
	return b
}

// TestStop: the limits of a whole recording are exact, whatever the rotation and however the stream arrives.
func TestStop(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	for _, rotate := range []Limits{{}, {RotateFrames: 5}, {RotateSize: 20000}, {RotateTime: 480 * time.Millisecond}} {
		for _, size := range []int{188, 5000, 1 << 20} {
			check := func(name string, l Limits, want []byte) {
				l.RotateFrames, l.RotateSize, l.RotateTime = rotate.RotateFrames, rotate.RotateSize, rotate.RotateTime
				t.Run(fmt.Sprintf("%s/%v/%d", name, l, size), func(t *testing.T) {
					tr := newTrial(t, sized{bytes.NewReader(b), size}, l)
					if err := tr.run(); err != nil {
						t.Fatal(err)
					}
					files := tr.files()
					got := joined(files)
					if c := tr.counts(); !bytes.Equal(got, want) || c.Dropped.Sum() != c.Dropped.Stop ||
						c.Confirmed != int64(len(want)) {
						t.Errorf("recorded %d bytes, want %d; %+v", len(got), len(want), c)
					}
					checkFiles(t, tr, files)
					for _, f := range files {
						if f.Frames == 0 && len(want) > 5*mpegts.PacketSize {
							t.Errorf("a file of %d bytes has no frame", f.Bytes)
						}
					}
					if n := len(files); n > 0 && len(want) < len(b) && files[n-1].Reason != Stop {
						t.Errorf("the last file ended for %s", files[n-1].Reason)
					}
				})
			}
			for _, n := range []int64{1, 11, 12, 13, 60, 119, 120, 1000} {
				atFrame := func(frame int, _ mpegts.Packet) bool { return frame == int(n) }
				check("frames", Limits{StopFrames: n}, prefix(b, atFrame))
			}
			for _, d := range []time.Duration{1, 480 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second,
				time.Hour} {
				var first uint64
				check("time", Limits{StopTime: d}, prefix(b, func(frame int, p mpegts.Packet) bool {
					dts, _ := p.DTS()
					if frame == 0 {
						first = dts
					}
					return mpegts.ClockDiff(dts, first) >= limitTicks(d)
				}))
			}
			if rotate != (Limits{}) {
				continue // injected bytes count, and depend on how the stream arrives: see TestStopSizeWithInjected
			}
			for _, n := range []int{100, 188, 1000, 33333, 34000, 200000, len(b) - 1, len(b), len(b) + 1} {
				check("size", Limits{StopSize: int64(n)}, b[:min(n-n%mpegts.PacketSize, len(b))])
			}
		}
	}
}

// TestStopTimeOfTable: if a packet of a table reaches the limit, the recording ends after it.
func TestStopTimeOfTable(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{KeyPackets: 20}, 1)
	b = slices.Delete(b, 2*mpegts.PacketSize, 3*mpegts.PacketSize) // the beginning of the frame, whose DTS would count
	pcr := func(at int, high byte) {
		copy(b[at*mpegts.PacketSize:], []byte{mpegts.SyncByte, 0, mpegts.PIDPAT, 0x20, mpegts.PacketSize - 5, 0x10,
			0, high, 0, 0, 0, 0})
	}
	pcr(3, 0)
	pcr(9, 2)
	tr := newTrial(t, bytes.NewReader(b), Limits{StopTime: 2 * time.Second})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if got := joined(tr.files()); !bytes.Equal(got, b[:10*mpegts.PacketSize]) {
		t.Errorf("recorded %d packets", len(got)/mpegts.PacketSize)
	}
}

// TestStopSizeWithInjected: injected bytes count, and the files together never exceed the limit.
func TestStopSizeWithInjected(t *testing.T) {
	noTables := tsgen.Frames(tsgen.Options{GOP: 5, NoTables: true, FramePackets: 3}, 100)
	tables := sample(t, "mpeg1.ts")
	for step := range 160 {
		limit := int64(20*mpegts.PacketSize + step*97)
		b, l := noTables, Limits{RotateFrames: 5, StopSize: limit}
		if step%2 == 0 {
			b, l.RotateSize, l.StopSize = tables, 15000, 3*limit
			limit = l.StopSize
		}
		tr := newTrial(t, sized{bytes.NewReader(b), []int{188, 400, 5000, 1 << 20}[step/2%4]}, l)
		if err := tr.run(); err != nil {
			t.Fatal(err)
		}
		files := tr.files()
		var sum int64
		for _, f := range files {
			sum += f.Bytes
		}
		if sum > limit || sum+mpegts.PacketSize <= limit || !bytes.HasPrefix(b, joined(files)) {
			t.Errorf("limit %d: recorded %d", limit, sum)
		}
		for _, f := range files {
			s := &segment{temp: f.path}
			if _, err := s.rescan(); err != nil || !s.decided {
				t.Errorf("limit %d: %s has %d bytes of tables and nothing else (%v)", limit, f.File, f.Bytes, err)
			}
		}
		checkFiles(t, tr, files)
	}
}

func TestStopRaw(t *testing.T) {
	b := bytes.Repeat([]byte("0123456789"), 1000)
	tr := newTrial(t, sized{bytes.NewReader(b), 333}, Limits{RotateSize: 1000, StopSize: 4321})
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	if files := tr.files(); !bytes.Equal(joined(files), b[:4321]) || reasons(files) != "size size size size stop" {
		t.Errorf("%s", reasons(files))
	}
}

// TestStopCopiesWhatWasRead: everything read before the limit was reached is copied to Out.
func TestStopCopiesWhatWasRead(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	tr := newTrial(t, bytes.NewReader(b), Limits{StopFrames: 5})
	out := newMemory()
	tr.config.Out = out
	if err := tr.run(); err != nil {
		t.Fatal(err)
	}
	copied := out.Bytes()
	in := tr.config.Ledger.Snapshot(false)
	if int64(len(copied)) != in.In.Bytes || !bytes.HasPrefix(b, copied) {
		t.Errorf("copied %d bytes of %d read", len(copied), in.In.Bytes)
	}
	select {
	case <-tr.config.In.(*testInput).closed:
	default:
		t.Error("the input is still open")
	}
}
