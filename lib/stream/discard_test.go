package stream

import (
	"bytes"
	"context"
	"testing"
	"testing/iotest"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// A chunk that must not be delivered is counted for what it is, also by a queue that drops nothing of its own accord.
func TestQueueDiscards(t *testing.T) {
	packet := append([]byte{mpegts.SyncByte, 0x1f, 0xff, 0x10}, make([]byte, mpegts.PacketSize-4)...)
	whole := bytes.Repeat(packet, 8)
	account := NewLedger("test").Open("out")
	q := NewQueue(QueueOptions{Buffer: 1 << 20, Account: account})
	r := NewReader(iotest.OneByteReader(bytes.NewReader(append(whole, packet[:100]...))), ReaderOptions{})
	defer r.Close()
	for {
		b, err := r.Next()
		if err != nil {
			break
		}
		for i := range b.Chunks {
			b.Chunks[i].Discard = b.Chunks[i].Kind == Partial
		}
		if err := q.Put(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	q.End()
	var out bytes.Buffer
	if err := Copy(context.Background(), q, &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), whole) {
		t.Errorf("%d bytes came out, not the %d of whole packets", out.Len(), len(whole))
	}
	if c := account.Counts(); c.Dropped != (Dropped{Torn: 100}) || !c.Balances() {
		t.Errorf("counted as %+v", c)
	}
}
