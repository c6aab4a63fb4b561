package stream

import (
	"context"
	"io"
	"time"

	"pgregory.net/rapid"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// harness is a queue between a source and a consumer that a test moves step by step.
type harness struct {
	t       rapid.TB
	reader  *Reader
	queue   *Queue
	account *Account
	ledger  *Ledger
	over    bool
	// late makes everything that is put this much older.
	late time.Duration
	// connections are the bytes that each connection got.
	connections [][]byte
	size        int64 // the stream's among them
	last        int64 // Pos of the last delivery
	warnings    int
	packets     int64 // in the chunks that were put
}

func newHarness(t rapid.TB, src io.Reader, o QueueOptions, ro ReaderOptions) *harness {
	h := &harness{t: t, ledger: NewLedger("test"), connections: [][]byte{nil}}
	h.account = h.ledger.Open("test")
	o.Account = h.account
	o.Warn = func(string, string) { h.warnings++ }
	h.queue = NewQueue(o)
	h.reader = NewReader(src, ro)
	return h
}

var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// put moves one read into the queue. The queue must have room.
func (h *harness) put() {
	batch, err := h.reader.Next()
	if err == io.EOF {
		h.queue.End()
		h.over = true
		return
	}
	if err != nil {
		h.t.Fatalf("read: %v", err)
	}
	for i := range batch.Chunks {
		batch.Chunks[i].ReceivedAt = batch.Chunks[i].ReceivedAt.Add(-h.late)
	}
	for i := range batch.Chunks {
		if batch.Chunks[i].Kind == Packets {
			h.packets += int64(len(batch.Chunks[i].Data) / mpegts.PacketSize)
		}
	}
	h.ledger.AddBatch(batch)
	if err := h.queue.Put(canceled, batch); err != nil {
		h.t.Fatalf("put: %v", err)
	}
}

// take takes one delivery if there is one, and reports whether there was.
func (h *harness) take() bool {
	p, err := h.queue.Take(canceled)
	if err != nil {
		return false
	}
	n := len(h.connections) - 1
	h.connections[n] = append(h.connections[n], p.Data...)
	h.size += int64(p.Size)
	h.last = p.Pos
	h.account.AddWritten(&p)
	p.Release()
	return true
}

func (h *harness) restart() {
	h.queue.Requeue()
	h.connections = append(h.connections, nil)
}

func (h *harness) balance() Counts {
	c := h.account.Counts()
	if !c.Balances() {
		h.t.Fatalf("the ledger does not balance: %+v", c)
	}
	return c
}
