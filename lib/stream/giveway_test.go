package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// flatOut is a source that has ever more to give.
type flatOut struct{}

func (flatOut) Read(p []byte) (int, error) { return len(p), nil }

// flood puts n bytes into the queue, as fast as it takes them.
func flood(t *testing.T, q *Queue, n int) {
	t.Helper()
	r := NewReader(flatOut{}, ReaderOptions{Format: Raw})
	defer r.Close()
	for n > 0 {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Put(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		n -= b.N
	}
}

// A producer that has ever more to give stays close in front of a consumer that moves, whatever the queue may hold.
func TestGiveWay(t *testing.T) {
	for _, retain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := NewQueue(QueueOptions{Buffer: 64 << 20, Retain: retain, Account: NewLedger("test").Open("out")})
			done := make(chan int64)
			go func() {
				var most int64
				for {
					p, err := q.Take(context.Background())
					if err != nil {
						done <- most
						return
					}
					q.mu.Lock()
					most = max(most, q.waiting())
					q.mu.Unlock()
					time.Sleep(time.Millisecond) // to write it
					p.Release()
					q.Confirm(p.Pos)
				}
			}()
			flood(t, q, 32<<20)
			q.End()
			if most := <-done; most > ahead+maxBlock {
				t.Errorf("retain %v: %d bytes waited", retain, most)
			}
		})
	}
}

// A consumer that does not move holds the producer up once, and one that rests, to take more at once, never. What may
// wait is taken in all the same.
func TestGiveWayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{Buffer: 16 << 20, Account: NewLedger("test").Open("out")})
		began := time.Now()
		flood(t, q, 8<<20)
		if d := time.Since(began); d != giveWayFor {
			t.Errorf("a consumer that does not move was waited for %v", d)
		}
		p, err := q.Take(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		p.Release()
		began = time.Now()
		flood(t, q, 2<<20)
		if d := time.Since(began); d != giveWayFor {
			t.Errorf("a consumer that had moved was waited for %v", d)
		}
		q.Abandon(Exit)
	})
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{Buffer: 16 << 20, Account: NewLedger("test").Open("out")})
		go q.Rest(t.Context(), 4<<20, time.Minute)
		synctest.Wait()
		began := time.Now()
		flood(t, q, 3<<20)
		if d := time.Since(began); d != 0 {
			t.Errorf("a consumer that rests was waited for %v", d)
		}
		q.Abandon(Exit)
	})
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueOptions{Live: true, Buffer: 16 << 20, Account: NewLedger("test").Open("out")})
		began := time.Now()
		flood(t, q, 8<<20)
		if d := time.Since(began); d != 0 {
			t.Errorf("with live, input waited for %v", d)
		}
		q.Abandon(Exit)
	})
}
