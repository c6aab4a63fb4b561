package stream

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// Whoever waits for what it has put does not wait for what others put behind it.
func TestWaitIsForWhatWasPut(t *testing.T) {
	for _, live := range []bool{false, true} {
		account := NewLedger("test").Open("out")
		q := NewQueue(QueueOptions{Live: live, Buffer: 1 << 20, Account: account})
		put := func() {
			r := NewReader(bytes.NewReader(make([]byte, 1000)), ReaderOptions{Format: Raw})
			defer r.Close()
			for b, err := r.Next(); err == nil; b, err = r.Next() {
				if err := q.Put(context.Background(), b); err != nil {
					t.Fatal(err)
				}
			}
		}
		take := func() Delivery {
			p, err := q.Take(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			p.Release()
			return p
		}
		put()
		waited := make(chan error)
		go func() { waited <- q.Flush(context.Background()) }()
		for waiting := false; !waiting; time.Sleep(time.Millisecond) {
			q.mu.Lock()
			waiting = len(q.waiters) == 1
			q.mu.Unlock()
		}
		put()
		first := take()
		take()
		select {
		case <-waited:
			t.Fatalf("live %v: Wait returned before anything was confirmed", live)
		default:
		}
		put()
		q.Confirm(first.Pos)
		select {
		case err := <-waited:
			if err != nil {
				t.Errorf("live %v: %v", live, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("live %v: Wait goes on for what came later", live)
		}
		q.Abort(Shutdown)
	}
}

// Age is that of what waits, and of nothing that was taken.
func TestAge(t *testing.T) {
	for _, retain := range []bool{false, true} {
		src := pieces{make([]byte, 100), make([]byte, 100)}
		b := newBench(t, &src, QueueOptions{Buffer: 1000, AtLeastOnce: retain}, ReaderOptions{Format: Raw})
		if age := b.queue.Age(); age != 0 {
			t.Errorf("retain %v: %v with nothing in it", retain, age)
		}
		b.put()
		time.Sleep(2 * time.Millisecond)
		if age := b.queue.Age(); age < 2*time.Millisecond {
			t.Errorf("retain %v: %v", retain, age)
		}
		b.take()
		if age := b.queue.Age(); age != 0 {
			t.Errorf("retain %v: %v when all was taken", retain, age)
		}
		b.reader.Close()
	}
}
