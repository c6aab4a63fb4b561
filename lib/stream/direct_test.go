package stream

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"
)

// slowPipe takes at once as much as has room, and the rest when somebody waits.
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

// What an idle consumer's output takes at once goes there from Put, and the rest through the consumer, in order; the
// ledger is the same either way.
func TestDirect(t *testing.T) {
	for _, live := range []bool{false, true} {
		for _, room := range []int{0, 1, 100, 1000, 1 << 20} {
			pipe := &slowPipe{room: room}
			ledger := NewLedger("test")
			account := ledger.Open("stdout")
			q := NewQueue(QueueOptions{Live: live, Buffer: 1 << 20, Direct: Direct(pipe), Account: account})
			copied := make(chan error)
			go func() { copied <- Copy(context.Background(), q, pipe) }()
			idle := func() bool {
				q.mu.Lock()
				defer q.mu.Unlock()
				return q.idle
			}
			want := bytes.Repeat([]byte("0123456789"), 300)
			r := NewReader(bytes.NewReader(want), ReaderOptions{Format: Raw, MaxChunk: 10})
			b, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			for !idle() {
				time.Sleep(time.Millisecond)
			}
			if err := q.Put(context.Background(), b); err != nil {
				t.Fatal(err)
			}
			if room >= len(want) && (pipe.waited > 0 || account.Counts().Confirmed != int64(len(want))) {
				t.Errorf("there was room, but the consumer was woken: %+v", account.Counts())
			}
			q.End()
			if err := <-copied; err != nil {
				t.Fatal(err)
			}
			r.Close()
			c := account.Counts()
			if !bytes.Equal(pipe.got.Bytes(), want) {
				t.Errorf("live %v, room for %d: %d bytes came, not as they were sent", live, room, pipe.got.Len())
			}
			if !c.Balances() || c.Confirmed != int64(len(want)) || c.Written != int64(len(want)) {
				t.Errorf("live %v, room for %d: %+v", live, room, c)
			}
		}
	}
}

// What Direct has left of a parcel is lost with everything else when the queue is abandoned.
func TestAbandonBehindDirect(t *testing.T) {
	account := NewLedger("test").Open("stdout")
	q := NewQueue(QueueOptions{Buffer: 1 << 20, Direct: func(p []byte) int { return 1 }, Account: account})
	q.idle = true // as if in Take
	r := NewReader(bytes.NewReader(make([]byte, 100)), ReaderOptions{Format: Raw})
	b, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Put(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	q.Abort(Shutdown)
	r.Close()
	if c := account.Counts(); !c.Balances() || c.Dropped.Lost != 100 || c.Held != 0 || c.Unconfirmed != 0 {
		t.Errorf("%+v", c)
	}
}
