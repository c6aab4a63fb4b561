package stream

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// sample returns a stream that ffmpeg made.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const samplePID = 0x100 // of the samples' video

// headersOnce turns the parameter sets of all keyframes but the first into filler NAL units, as if they were not sent.
func headersOnce(b []byte) []byte {
	b = bytes.Clone(b)
	units := 0
	for p := b; len(p) > 0; p = p[mpegts.PacketSize:] {
		packet := mpegts.Packet(p[:mpegts.PacketSize])
		if packet.PID() != samplePID {
			continue
		}
		for i := 0; i+4 < mpegts.PacketSize; i++ {
			if !bytes.HasPrefix(packet[i:], []byte{0, 0, 1}) {
				continue
			}
			if unit := packet[i+3] & 0x1F; unit == 7 || unit == 8 {
				if units++; units > 2 {
					packet[i+3] = packet[i+3]&^0x1F | 12
				}
			}
		}
	}
	return b
}

// hasSets reports whether a packet has a sequence parameter set of H.264.
func hasSets(p []byte) bool { return bytes.Contains(p, []byte{0, 0, 1, 0x67}) }

// putAll puts everything that the source brings. The queue must have room.
func putAll(h *harness) {
	for !h.over {
		h.put()
	}
}

// packetPieces returns a source of b of which each read brings seven packets.
func packetPieces(b []byte) io.Reader {
	p := pieces(slices.Collect(slices.Chunk(b, 7*mpegts.PacketSize)))
	return &p
}

// TestSetsAreInjected: where the stream sends its parameter sets once, each connection but the first begins with PAT,
// PMT, the sets and the keyframe. After a gap inside a connection no sets are put in.
func TestSetsAreInjected(t *testing.T) {
	b := headersOnce(sample(t, "h264.ts"))
	h := newHarness(t, packetPieces(b), QueueOptions{Live: true, StartAtKeyframe: true, Buffer: 1 << 20},
		ReaderOptions{})
	defer h.reader.Close()
	putAll(h)
	h.take()
	h.restart()
	h.take()
	h.queue.mu.Lock() // and now a gap: the rest of the group and the next one
	l := h.queue.policy.(*live)
	l.dropGOP(l.nextKeyframe(0), Age)
	h.queue.mu.Unlock()
	for h.take() {
	}
	for i, got := range h.connections {
		sets := 0
		for p := range slices.Chunk(got, mpegts.PacketSize) {
			if hasSets(p) {
				sets++
			}
		}
		if sets != 1 {
			t.Errorf("connection %d has parameter sets %d times", i, sets)
		}
	}
	at := KeyframeAt(h.connections[1])
	first, next := mpegts.Packet(h.connections[1][at:]), mpegts.Packet(h.connections[1][at+mpegts.PacketSize:])
	pts, _ := first.PTS()
	if want, ok := next.PTS(); !ok || pts != want || !hasSets(first[:mpegts.PacketSize]) || !first.RandomAccess() {
		t.Error("the sets are not right in front of the keyframe, with its PTS")
	}
	if first.Continuity() != (next.Continuity()-1)&0x0F {
		t.Errorf("continuity counters %d, %d", first.Continuity(), next.Continuity())
	}
	if c := h.balance(); c.Injected == 0 || c.Written+c.Injected != int64(len(h.connections[0])+len(h.connections[1])) {
		t.Errorf("%+v", c)
	}
}

// TestChangeNeedsConnection: another codec ends a live connection, and the next one begins with PAT, PMT and a
// keyframe. A lossless queue delivers every byte as it is.
func TestChangeNeedsConnection(t *testing.T) {
	one, other := sample(t, "mpeg1.ts"), sample(t, "h264.ts")
	both := slices.Concat(one, other)
	for _, live := range []bool{true, false} {
		o := QueueOptions{Live: live, OnChange: EndAtChange, Buffer: 1 << 24}
		h := newHarness(t, packetPieces(both), o, ReaderOptions{})
		defer h.reader.Close()
		putAll(h)
		for h.take() {
		}
		_, err := h.queue.Take(canceled)
		if !live {
			if !bytes.Equal(h.connections[0], both) {
				t.Error("the lossless queue changed something")
			}
			continue
		}
		if err != ErrChanged || !bytes.Equal(h.connections[0], one) {
			t.Fatalf("%v after %d bytes, want ErrChanged after %d", err, len(h.connections[0]), len(one))
		}
		h.queue.Confirm(h.last)
		h.restart()
		for h.take() {
		}
		if got := h.connections[1]; !bytes.Equal(got, other[len(other)-len(got):]) ||
			KeyframeAt(got) > 3*mpegts.PacketSize {
			t.Errorf("%d bytes of %d came in the next connection, the keyframe at %d", len(got), len(other),
				KeyframeAt(got))
		}
		if c := h.balance(); c.Dropped.Lost > 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestChangeIsReported: deliveries say where codecs and clocks change, also if that was in what was dropped.
func TestChangeIsReported(t *testing.T) {
	mpeg1, h264 := sample(t, "mpeg1.ts"), sample(t, "h264.ts")
	for _, test := range []struct {
		name   string
		second []byte
		drop   bool // the group that begins with the change
		want   mpegts.Change
	}{
		{"another codec", h264, false, mpegts.CodecChanged},
		{"another codec in a gap", h264, true, mpegts.CodecChanged},
		{"clocks go back", mpeg1, false, mpegts.ClockJump},
		{"clocks go back in a gap", mpeg1, true, mpegts.ClockJump},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := packetPieces(slices.Concat(mpeg1, test.second))
			h := newHarness(t, src, QueueOptions{Live: true, Buffer: 1 << 24}, ReaderOptions{})
			defer h.reader.Close()
			putAll(h)
			if test.drop {
				l := h.queue.policy.(*live)
				l.dropGOP(slices.IndexFunc(l.fifo.waiting(), func(e entry) bool { return e.Change != 0 }), Age)
			}
			var got mpegts.Change
			changes := 0
			for d, err := h.queue.Take(canceled); err == nil; d, err = h.queue.Take(canceled) {
				if got |= d.Change; d.Change != 0 {
					if changes++; !d.RandomAccess {
						t.Error("the change is not where a keyframe is")
					}
				}
				d.Release()
			}
			if got != test.want || changes != 1 {
				t.Errorf("change %b in %d places, want %b", got, changes, test.want)
			}
		})
	}
}

// TestSpliceIsAnnounced: where another publisher's stream begins, PAT and PMT come first, and each PID announces it.
// What comes before its first keyframe is dropped.
func TestSpliceIsAnnounced(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	group := len(b) / 10 / mpegts.PacketSize * mpegts.PacketSize
	for _, cut := range []int{0, group / 2 / mpegts.PacketSize * mpegts.PacketSize} {
		o := QueueOptions{Live: true, OnChange: AnnounceChange, Buffer: 1 << 24}
		h := newHarness(t, packetPieces(b), o, ReaderOptions{})
		putAll(h)
		h.reader.Close()
		h.reader = NewReader(packetPieces(b[cut:]), ReaderOptions{Format: TS})
		batch, err := h.reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		batch.Chunks[0].Splice = true
		if err := h.queue.Put(canceled, batch); err != nil {
			t.Fatal(err)
		}
		h.over = false
		putAll(h)
		h.reader.Close()
		for h.take() {
		}
		announced := map[uint16]bool{}
		for p := range slices.Chunk(h.connections[0][len(b):], mpegts.PacketSize) {
			packet := mpegts.Packet(p)
			if packet.Discontinuity() && !packet.HasPayload() {
				announced[packet.PID()] = true
			} else if !announced[packet.PID()] {
				t.Fatalf("cut at %d: PID %#x begins without an announcement", cut, packet.PID())
			}
		}
		c := h.balance()
		if (c.Dropped.Resync > 0) != (cut > 0) || c.Injected < 3*mpegts.PacketSize {
			t.Errorf("cut at %d: %+v", cut, c)
		}
	}
}

// TestStartAtKeyframe: what comes before the first keyframe is dropped.
func TestStartAtKeyframe(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 4, KeyPackets: 10, FramePackets: 10}, 12)
	const cut, group = 5 * mpegts.PacketSize, 42 * mpegts.PacketSize
	o := QueueOptions{Live: true, StartAtKeyframe: true, Buffer: 1 << 20}
	h := newHarness(t, packetPieces(b[cut:]), o, ReaderOptions{})
	defer h.reader.Close()
	putAll(h)
	for h.take() {
	}
	if c := h.balance(); c.Dropped != (Dropped{Resync: group - cut}) || !bytes.Equal(h.connections[0], b[group:]) {
		t.Errorf("%+v, %d bytes", c, len(h.connections[0]))
	}
}

// TestFirstDeliveryHasKeyframe: the first delivery of a connection has more than PAT and PMT, even where packets come
// one by one and connections die all the time: nothing else may be a message that no decoder can begin with.
func TestFirstDeliveryHasKeyframe(t *testing.T) {
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		packets := pieces(slices.Collect(slices.Chunk(sample(t, name), mpegts.PacketSize)))
		h := newHarness(t, &packets, QueueOptions{Live: true, StartAtKeyframe: true, Buffer: 1 << 20},
			ReaderOptions{Format: TS})
		begun := 0
		for !h.over {
			h.put()
			if !h.take() {
				continue
			}
			first := h.connections[len(h.connections)-1]
			marks := new(mpegts.Scanner).AppendMarks(nil, first)
			if !slices.ContainsFunc(marks, func(m mpegts.Mark) bool { return m&mpegts.RandomAccess != 0 }) {
				t.Fatalf("%s: connection %d begins with %d packets and no keyframe", name, begun, len(marks))
			}
			begun++
			h.restart()
		}
		if begun < 3 {
			t.Errorf("%s: %d connections", name, begun)
		}
	}
}
