package stream

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestOutput has a reader and an output run at once.
func TestOutput(t *testing.T) {
	input := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 50, FramePackets: 20, Audio: true}, 500)
	ledger := NewLedger("test")
	q := NewQueue(QueueOptions{Buffer: 100_000, Account: ledger.Open("out")})
	r := NewReader(inPieces(input, rand.New(rand.NewPCG(5, 6)), 40_000), ReaderOptions{})
	defer r.Close()
	fed := make(chan error, 1)
	go func() {
		for {
			batch, err := r.Next()
			if err != nil {
				q.End()
				fed <- err
				return
			}
			if err := q.Put(context.Background(), batch); err != nil {
				fed <- err
				return
			}
		}
	}()
	var out bytes.Buffer
	if err := NewOutput(q, &out).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-fed; err != io.EOF {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), input) {
		t.Error("what came out is not what went in")
	}
	if c := ledger.Snapshot(true).Out[0]; !c.Balances() || c.Confirmed != int64(len(input)) {
		t.Errorf("%+v", c)
	}
}

// slowPipe writes at once what it has room for, and the rest when a caller waits.
type slowPipe struct {
	mu     sync.Mutex
	room   int
	got    bytes.Buffer
	waited int // calls of Write
}

func (p *slowPipe) TryWrite(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(b), p.room)
	p.room -= n
	p.got.Write(b[:n])
	return n
}

func (p *slowPipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited++
	return p.got.Write(b)
}

// TestWriteThrough: Put writes what the writer takes at once, and Run the rest, in order. The ledger is the same.
func TestWriteThrough(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 300)
	for _, live := range []bool{false, true} {
		for _, room := range []int{0, 1, 100, 1000, 1 << 20} {
			synctest.Test(t, func(t *testing.T) {
				pipe := &slowPipe{room: room}
				account := NewLedger("test").Open("stdout")
				q := NewQueue(QueueOptions{Live: live, Buffer: 1 << 20, Account: account})
				out := NewOutput(q, pipe)
				done := make(chan error)
				go func() { done <- out.Run(t.Context()) }()
				r := NewReader(bytes.NewReader(want), ReaderOptions{Format: Raw, MaxChunk: 10})
				defer r.Close()
				b, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // until Run waits
				if err := out.Put(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if room >= len(want) && (pipe.waited > 0 || account.Counts().Confirmed != int64(len(want))) {
					t.Errorf("there was room, but Run wrote: %+v", account.Counts())
				}
				q.End()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				c := account.Counts()
				if !bytes.Equal(pipe.got.Bytes(), want) {
					t.Errorf("live %v, room for %d: %d bytes came, not as they were sent", live, room, pipe.got.Len())
				}
				if !c.Balances() || c.Confirmed != int64(len(want)) || c.Written != int64(len(want)) {
					t.Errorf("live %v, room for %d: %+v", live, room, c)
				}
			})
		}
	}
}

// oneByte writes one byte without waiting, and never more.
type oneByte struct{ io.Writer }

func (oneByte) TryWrite([]byte) int { return 1 }

// TestAbortAfterWriteThrough: Abort loses what Put has left of a delivery as well.
func TestAbortAfterWriteThrough(t *testing.T) {
	account := NewLedger("test").Open("stdout")
	q := NewQueue(QueueOptions{Buffer: 1 << 20, Account: account})
	r := NewReader(bytes.NewReader(make([]byte, 100)), ReaderOptions{Format: Raw})
	defer r.Close()
	b, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := NewOutput(q, oneByte{io.Discard}).Put(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	q.Abort(Shutdown)
	if c := account.Counts(); !c.Balances() || c.Dropped.Lost != 100 || c.Held != 0 || c.Unconfirmed != 0 {
		t.Errorf("%+v", c)
	}
}
