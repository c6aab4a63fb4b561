package stream

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestFlush: Flush returns when everything is confirmed, and not before.
func TestFlush(t *testing.T) {
	src := pieces{make([]byte, 100)}
	h := newHarness(t, &src, QueueOptions{Buffer: 150}, ReaderOptions{Format: Raw})
	defer h.reader.Close()
	if err := h.queue.Flush(canceled); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	h.put()
	h.take()
	if err := h.queue.Flush(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: something is unconfirmed", err)
	}
	done := make(chan error)
	go func() { done <- h.queue.Flush(context.Background()) }()
	h.queue.Confirm(h.last)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestFlushIsForWhatWasPut: Flush does not wait for what comes in after it was called.
func TestFlushIsForWhatWasPut(t *testing.T) {
	for _, live := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := pieces{make([]byte, 1000), make([]byte, 1000), make([]byte, 1000)}
			h := newHarness(t, &src, QueueOptions{Live: live, Buffer: 1 << 20, MaxDelivery: 1000},
				ReaderOptions{Format: Raw})
			defer h.reader.Close()
			h.put()
			var flushed error
			returned := false
			go func() { flushed = h.queue.Flush(t.Context()); returned = true }()
			synctest.Wait()
			h.put()
			h.take()
			first := h.last
			h.take()
			synctest.Wait()
			if returned {
				t.Errorf("live %v: Flush returned before anything was confirmed", live)
			}
			h.put()
			h.queue.Confirm(first)
			synctest.Wait()
			if !returned || flushed != nil {
				t.Errorf("live %v: Flush returned %v with %v", live, returned, flushed)
			}
			h.queue.Abort(Shutdown)
		})
	}
}

// TestAge: Age is that of what waits, and of nothing that was taken.
func TestAge(t *testing.T) {
	for _, atLeastOnce := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := pieces{make([]byte, 100), make([]byte, 100)}
			h := newHarness(t, &src, QueueOptions{Buffer: 1000, AtLeastOnce: atLeastOnce}, ReaderOptions{Format: Raw})
			defer h.reader.Close()
			steps := []struct {
				name string
				do   func()
				want time.Duration
			}{
				{"nothing came", func() {}, 0},
				{"a chunk waits", func() { h.put(); time.Sleep(2 * time.Second) }, 2 * time.Second},
				{"all was taken", func() { h.take() }, 0},
			}
			for _, s := range steps {
				s.do()
				if age := h.queue.Age(); age != s.want {
					t.Errorf("at least once %v, %s: %v", atLeastOnce, s.name, age)
				}
			}
		})
	}
}

// TestQueueDiscards: a chunk that no queue may deliver is counted for what it is, by a lossless queue too.
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
	if err := NewOutput(q, &out).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), whole) {
		t.Errorf("%d bytes came out, not the %d of whole packets", out.Len(), len(whole))
	}
	if c := account.Counts(); c.Dropped != (Dropped{Torn: 100}) || !c.Balances() {
		t.Errorf("counted as %+v", c)
	}
}

// BenchmarkFrame is the hot path: a frame is read, cut, put, taken and confirmed.
func BenchmarkFrame(b *testing.B) {
	for _, live := range []bool{false, true} {
		name := map[bool]string{false: "lossless", true: "live"}[live]
		b.Run(name, func(b *testing.B) {
			g := tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30})
			src := new(loop)
			for range 12 {
				src.pieces = append(src.pieces, g.Frame(nil))
			}
			q := NewQueue(QueueOptions{Live: live, Buffer: 1 << 20, MaxAge: time.Second,
				Account: NewLedger("b").Open("b")})
			r := NewReader(src, ReaderOptions{Format: TS})
			b.ReportAllocs()
			for b.Loop() {
				batch, _ := r.Next()
				_ = q.Put(context.Background(), batch)
				for range batch.Chunks {
					p, _ := q.Take(context.Background())
					p.Release()
					q.Confirm(p.Pos)
				}
			}
		})
	}
}

// loop is an endless source.
type loop struct {
	pieces [][]byte
	next   int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.pieces[l.next%len(l.pieces)])
	l.next++
	return n, nil
}

// TestMissed: what never came is read and lost, and the entry balances.
func TestMissed(t *testing.T) {
	account := NewLedger("test").Open("out")
	q := NewQueue(QueueOptions{Live: true, Buffer: 1 << 20, Account: account})
	q.Missed(7)
	if c := account.Counts(); c.In != 7 || c.Dropped.Lost != 7 || !c.Balances() {
		t.Errorf("%+v", c)
	}
}
