package stream

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestLosslessDeliversAll: without live, bytes out are bytes in, whatever they are, at any pace, over any number of
// connections.
func TestLosslessDeliversAll(t *testing.T) { rapid.Check(t, losslessDeliversAll) }

// FuzzLossless looks for the input and the pace with which that does not hold.
func FuzzLossless(f *testing.F) { f.Fuzz(rapid.MakeFuzz(losslessDeliversAll)) }

func losslessDeliversAll(t *rapid.T) {
	input := drawStream(t)
	if rapid.Bool().Draw(t, "garbage") {
		at := rapid.IntRange(0, len(input)).Draw(t, "at")
		garbage := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "bytes")
		input = slices.Concat(input[:at], garbage, input[at:])
	}
	atLeastOnce := rapid.Bool().Draw(t, "at least once")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	longest := rapid.IntRange(1, 20000).Draw(t, "longest")
	h := newHarness(t, inPieces(input, random, longest), QueueOptions{Buffer: 1 << 30, AtLeastOnce: atLeastOnce},
		ReaderOptions{Format: Format(rapid.IntRange(0, 2).Draw(t, "format")), MaxChunk: 4096})
	defer h.reader.Close()
	var confirmed, sent []byte // the stream up to the last confirmation, and what was sent since
	for ended := false; !ended; h.balance() {
		switch step := random.IntN(10); {
		case step < 4 && !h.over:
			h.put()
		case step < 7 || h.over && step < 9:
			n := len(h.connections) - 1
			before := len(h.connections[n])
			if h.take() {
				sent = append(sent, h.connections[n][before:]...)
			} else {
				ended = h.over
			}
		case step < 9:
			h.queue.Confirm(h.last)
			confirmed, sent = append(confirmed, sent...), nil
		case atLeastOnce:
			h.restart()
			sent = nil
		}
	}
	h.queue.Confirm(h.last)
	confirmed = append(confirmed, sent...)
	if !bytes.Equal(confirmed, input) {
		t.Fatalf("%d bytes out, %d in, or in another order", len(confirmed), len(input))
	}
	c := h.balance()
	if c.Confirmed != int64(len(input)) || c.In != h.ledger.Snapshot(true).In.Bytes {
		t.Fatalf("not all is confirmed: %+v", c)
	}
	if c.Packets.Confirmed != h.packets || h.ledger.Snapshot(true).In.Packets != h.packets {
		t.Fatalf("%d packets went in: %+v", h.packets, c.Packets)
	}
}

// TestPacketsAreCounted: packets are counted as delivered wherever a confirmation falls, and what is none is not.
func TestPacketsAreCounted(t *testing.T) {
	packets := tsgen.Frames(tsgen.Options{GOP: 5}, 20)
	n := int64(len(packets))
	const junk, part = 50, 100
	input := append(append(bytes.Clone(packets), make([]byte, junk)...), packets...)
	input = append(input, packets[:part]...)
	h := newHarness(t, bytes.NewReader(input), QueueOptions{Buffer: 1 << 20}, ReaderOptions{Format: TS})
	defer h.reader.Close()
	for !h.over {
		h.put()
	}
	for h.take() {
	}
	for _, c := range []struct{ pos, packets int64 }{
		{3 * mpegts.PacketSize, 3}, {n, n / mpegts.PacketSize}, {n + junk/2, n / mpegts.PacketSize},
		{n + junk, n / mpegts.PacketSize}, {n + junk + mpegts.PacketSize, n/mpegts.PacketSize + 1},
		{2*n + junk, 2 * n / mpegts.PacketSize}, {2*n + junk + part, 2 * n / mpegts.PacketSize},
	} {
		h.queue.Confirm(c.pos)
		if got := h.balance(); got.Confirmed != c.pos || got.Packets.Confirmed != c.packets {
			t.Errorf("at %d: %+v, want %d packets", c.pos, got, c.packets)
		}
	}
}

func drawStream(t *rapid.T) []byte {
	o := tsgen.Options{
		GOP:            rapid.IntRange(1, 8).Draw(t, "gop"),
		KeyPackets:     rapid.IntRange(1, 12).Draw(t, "key"),
		FramePackets:   rapid.IntRange(1, 4).Draw(t, "frame"),
		Audio:          rapid.Bool().Draw(t, "audio"),
		Interleave:     rapid.Bool().Draw(t, "interleave"),
		NoTables:       rapid.Bool().Draw(t, "no tables"),
		TablesEvery:    rapid.IntRange(0, 5).Draw(t, "tables every"),
		NoRandomAccess: rapid.Bool().Draw(t, "no flag"),
	}
	return tsgen.Frames(o, rapid.IntRange(1, 60).Draw(t, "frames"))
}

// TestLosslessWaits: Put waits while the buffer is full.
func TestLosslessWaits(t *testing.T) {
	src := pieces{make([]byte, 100), make([]byte, 100)}
	h := newHarness(t, &src, QueueOptions{Buffer: 150}, ReaderOptions{Format: Raw})
	defer h.reader.Close()
	h.put()
	batch, err := h.reader.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.queue.Put(canceled, batch); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v: it did not wait", err)
	}
	done := make(chan error)
	go func() { done <- h.queue.Put(context.Background(), Batch{Chunks: batch.Chunks}) }()
	h.take()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := h.balance(); c.Held != 100 {
		t.Errorf("%+v", c)
	}
}

// TestRedeliveryIsWhatWasTaken: what comes in meanwhile does not make a delivery longer that is sent again, since it
// would count as sent again too.
func TestRedeliveryIsWhatWasTaken(t *testing.T) {
	src := iotest.OneByteReader(bytes.NewReader(make([]byte, 3000)))
	h := newHarness(t, src, QueueOptions{Buffer: 1 << 20, AtLeastOnce: true}, ReaderOptions{Format: Raw})
	put := func(n int) {
		for range n {
			h.put()
		}
	}
	put(1000)
	for h.take() {
	}
	h.restart()
	put(500)
	for h.take() {
	}
	if c := h.balance(); c.Resent != 1000 || c.Written != 2500 {
		t.Errorf("%d of %d written bytes count as resent", c.Resent, c.Written)
	}
}
