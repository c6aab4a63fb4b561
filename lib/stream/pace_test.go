package stream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flatOut is a source that always has more.
type flatOut struct{}

func (flatOut) Read(p []byte) (int, error) { return len(p), nil }

// flood puts n bytes into the queue, as fast as the pacer lets it.
func flood(t *testing.T, q *Queue, pacer *Pacer, n int) {
	t.Helper()
	r := NewReader(flatOut{}, ReaderOptions{Format: Raw, MaxChunk: 64 << 10})
	defer r.Close()
	for n > 0 {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Put(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		pacer.Pace(context.Background(), b.N)
		n -= b.N
	}
}

// TestPace: a producer that always has more stays close to a consumer that moves, however much the queue may hold.
func TestPace(t *testing.T) {
	for _, atLeastOnce := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := NewQueue(QueueOptions{Buffer: 64 << 20, AtLeastOnce: atLeastOnce,
				Account: NewLedger("test").Open("out")})
			done := make(chan int64)
			go func() { done <- takeSlowly(q, time.Millisecond) }()
			flood(t, q, NewPacer(q), 32<<20)
			q.End()
			if most := <-done; most > highWater+maxBlock {
				t.Errorf("at least once %v: %d bytes waited", atLeastOnce, most)
			}
		})
	}
}

// TestPaceEnds: a consumer that is slower than the source holds it up only now and then, and a live one never. What may
// wait is taken in all the same, and what is only unconfirmed does not wait.
func TestPaceEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		live  bool
		takes bool          // all at once, and confirms nothing
		every time.Duration // in which the consumer takes a delivery; 0: never
		most  time.Duration // that the source may be held up for
	}{
		{name: "does not move", most: paceMax},
		{name: "is slow", every: 50 * time.Millisecond, most: paceMax},
		{name: "takes", takes: true},
		{name: "is live", live: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := NewQueue(QueueOptions{
					Live: test.live, AtLeastOnce: test.takes, Buffer: 16 << 20, Account: NewLedger("test").Open("out"),
				})
				var consumer sync.WaitGroup
				switch {
				case test.takes:
					consumer.Go(func() {
						for p, err := q.Take(t.Context()); err == nil; p, err = q.Take(t.Context()) {
							p.Release()
						}
					})
				case test.every > 0:
					consumer.Go(func() { takeSlowly(q, test.every) })
				}
				synctest.Wait()
				pacer := NewPacer(q)
				for range 2 {
					began := time.Now()
					flood(t, q, pacer, 3<<20)
					if d := time.Since(began); d > test.most {
						t.Errorf("the source was held up for %v", d)
					}
					time.Sleep(paceBackoff)
				}
				q.Abort(Shutdown)
				consumer.Wait()
			})
		})
	}
}

// takeSlowly takes a delivery now and then, until there will be none, and returns how many bytes have waited at most.
func takeSlowly(q *Queue, every time.Duration) (most int64) {
	for {
		p, err := q.Take(context.Background())
		if err != nil {
			return most
		}
		most = max(most, q.Waiting())
		time.Sleep(every) // to write it
		p.Release()
		q.Confirm(p.Pos)
	}
}
