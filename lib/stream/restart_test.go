package stream

import (
	"bytes"
	"testing"
	"testing/iotest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// Whoever asks whether a live queue is finished, while there is no connection, does not hold a part of a group back that
// then comes late and with a gap behind it.
func TestFinishedTakesNothingApart(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 10, FramePackets: 4}, 30)
	group := len(ts) / 6
	b := newBench(t, bytes.NewReader(ts), QueueOptions{Live: true, Buffer: 1 << 20, MaxAge: time.Minute},
		ReaderOptions{MaxChunk: 10 * mpegts.PacketSize})
	b.put()
	b.take()
	b.restart()
	for range 2 {
		if b.queue.Finished() {
			t.Fatal("finished")
		}
	}
	b.queue.mu.Lock()
	for i := range b.queue.entries[:len(b.queue.entries)/2] {
		b.queue.entries[i].ReceivedAt = time.Now().Add(-time.Hour)
	}
	b.queue.mu.Unlock()
	for b.take() {
	}
	got := b.connections[1]
	if len(got)%group != 0 || !bytes.HasSuffix(ts, got) || len(got) > len(ts)/2+group {
		t.Errorf("%d bytes came, in groups of %d", len(got), group)
	}
	b.balance()
}

// A parcel that is sent again is not made longer by what comes in meanwhile: that would count as sent again too.
func TestResentIsWhatWasTaken(t *testing.T) {
	b := newBench(t, iotest.OneByteReader(bytes.NewReader(make([]byte, 3000))), QueueOptions{Buffer: 1 << 20, AtLeastOnce: true},
		ReaderOptions{Format: Raw})
	put := func(n int) {
		for range n {
			b.put()
		}
	}
	put(1000)
	for b.take() {
	}
	b.restart()
	put(500)
	for b.take() {
	}
	if c := b.balance(); c.Resent != 1000 || c.Written != 2500 {
		t.Errorf("%d of %d written bytes count as resent", c.Resent, c.Written)
	}
}
