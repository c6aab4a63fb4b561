package stream

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// headerAlone returns the first packet of a keyframe as two: its PES header, and what follows it.
func headerAlone(p mpegts.Packet) (header, rest []byte) {
	const pesHeader = 14
	b := p.Payload()
	packet := func(flags, counter byte, payload []byte) []byte {
		n := mpegts.PacketSize - 5 - len(payload)
		q := []byte{mpegts.SyncByte, p[1]&^0x40 | flags, p[2], 0x30 | counter&0x0F, byte(n), 0}
		q = append(q, bytes.Repeat([]byte{0xFF}, n-1)...)
		return append(q, payload...)
	}
	return packet(0x40, p.Continuity(), b[:pesHeader]), packet(0, p.Continuity()+1, b[pesHeader:pesHeader+100])
}

// TestReaderHolds: PAT, PMT and the header of a PES packet alone are held back until it is known that a keyframe
// follows, or for 20 ms.
func TestReaderHolds(t *testing.T) {
	const tables = 2 * mpegts.PacketSize
	g := tsgen.New(tsgen.Options{GOP: 4, KeyPackets: 4, FramePackets: 4})
	var before []byte
	for range 4 {
		before = g.Frame(before)
	}
	key := g.Frame(nil)
	header, rest := headerAlone(key[tables:])
	for _, test := range []struct {
		name     string
		pause    time.Duration // between the header and the rest
		keyframe bool
	}{
		{"the rest comes in time", 15 * time.Millisecond, true},
		{"the rest comes late", 25 * time.Millisecond, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, w := net.Pipe()
				go func() {
					_, _ = w.Write(before)
					_, _ = w.Write(slices.Concat(key[:tables], header))
					time.Sleep(test.pause)
					_, _ = w.Write(rest)
					_ = w.Close()
				}()
				r := NewReader(src, ReaderOptions{})
				defer r.Close()
				var got []Chunk
				began := time.Now()
				for {
					b, err := r.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range b.Chunks {
						c.Data = bytes.Clone(c.Data)
						got = append(got, c)
					}
					if held := time.Since(began); r.Pending() == 0 && len(got) == 2 && held > maxHold {
						t.Errorf("held back for %v", held)
					}
				}
				want := slices.Concat(before, key[:tables], header, rest)
				last := got[1]
				if !bytes.Equal(join(got), want) || last.RandomAccess != test.keyframe || last.HasPSI != test.keyframe {
					t.Errorf("%d bytes of %d; %d chunks, the second begins with a keyframe: %v",
						len(join(got)), len(want), len(got), last.RandomAccess)
				}
			})
		})
	}
}

// TestReaderHoldsLittle: a reader holds back 16 packets at most, whatever they are.
func TestReaderHoldsLittle(t *testing.T) {
	g := tsgen.New(tsgen.Options{GOP: 4, KeyPackets: 4, FramePackets: 4})
	b := g.Frame(nil)
	for range 4 {
		b = g.Frame(b)
	}
	header, _ := headerAlone(mpegts.Packet(b[2*mpegts.PacketSize:]))
	b = append(b, header...)
	null := bytes.Repeat([]byte{0xFF}, mpegts.PacketSize)
	copy(null, []byte{mpegts.SyncByte, 0x1F, 0xFF, 0x10})
	b = append(b, bytes.Repeat(null, 100)...)
	r := NewReader(packetPieces(b), ReaderOptions{})
	defer r.Close()
	for {
		if _, err := r.Next(); err != nil {
			return
		}
		if n := r.Pending() / mpegts.PacketSize; n > maxPSIRun/mpegts.PacketSize+16 {
			t.Fatalf("%d packets are held back", n)
		}
	}
}

// otherPackets returns n packets of another size, as recorders (192 bytes) and DVB cards (204) write them.
func otherPackets(ts []byte, size int) (b []byte) {
	for p := range slices.Chunk(ts, mpegts.PacketSize) {
		extra := bytes.Repeat([]byte{0x11}, size-mpegts.PacketSize)
		if size == 192 {
			b = append(append(b, extra...), p...)
		} else {
			b = append(append(b, p...), extra...)
		}
	}
	return b
}

// TestReaderPacketSizes: packets that are not those of MPEG-TS pass as raw bytes with one warning, or are an error if
// TS was asked for. What was read then counts as dropped.
func TestReaderPacketSizes(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 4, FramePackets: 5}, 20)
	for _, size := range []int{192, 204} {
		for _, skip := range []int{0, 50} {
			input := otherPackets(ts, size)[skip:]
			warnings := 0
			warn := func(string, string) { warnings++ }
			chunks, format := readAll(t, bytes.NewReader(input), ReaderOptions{Warn: warn})
			if format != Raw || warnings != 1 || !bytes.Equal(join(chunks), input) {
				t.Errorf("%d bytes a packet, from %d on: format %v, %d warnings", size, skip, format, warnings)
			}
			h := newHarness(t, bytes.NewReader(input), QueueOptions{Buffer: 1 << 20}, ReaderOptions{Format: TS})
			b, err := h.reader.Next()
			if err != nil {
				t.Fatal(err)
			}
			if err := h.queue.Put(canceled, b); err != nil {
				t.Fatal(err)
			}
			_, err = h.reader.Next()
			wrong, ok := err.(*PacketSizeError)
			if !ok || wrong.Size != size {
				t.Errorf("%d bytes a packet, from %d on: %v", size, skip, err)
			}
			if c := h.balance(); h.take() || c.Dropped != (Dropped{Sync: c.In}) || c.In == 0 {
				t.Errorf("%+v", c)
			}
			h.reader.Close()
		}
	}
}
