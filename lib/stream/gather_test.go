package stream

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// putRaw puts n bytes.
func putRaw(t *testing.T, ctx context.Context, q *Queue, n int) {
	t.Helper()
	r := NewReader(bytes.NewReader(make([]byte, n)), ReaderOptions{Format: Raw})
	defer r.Close()
	for b, err := r.Next(); err == nil; b, err = r.Next() {
		if err := q.Put(ctx, b); err != nil {
			t.Error(err)
		}
	}
}

// TestRest: a consumer rests while there is little, and no longer.
func TestRest(t *testing.T) {
	const short, long = 50 * time.Millisecond, time.Minute
	background := context.Background()
	ended, end := context.WithCancel(background)
	for _, tc := range []struct {
		name   string
		ctx    context.Context
		before int // bytes that wait before
		limit  time.Duration
		then   func(q *Queue)
		want   int64 // bytes that wait behind
	}{
		{"something waits", background, 1, long, func(*Queue) {}, 1},
		{"enough comes, in two steps", background, 0, long, func(q *Queue) {
			putRaw(t, background, q, 999)
			putRaw(t, background, q, 1)
		}, 1000},
		{"little comes", background, 0, short, func(q *Queue) { putRaw(t, background, q, 999) }, 999},
		{"nothing comes", background, 0, short, func(*Queue) {}, 0},
		{"the end", background, 0, long, (*Queue).End, 0},
		{"nothing matters any more", background, 0, long, func(q *Queue) { q.Abort(Shutdown) }, 0},
		{"the context ends", ended, 0, long, func(*Queue) { end() }, 0},
		{"it is full before it is enough", background, 0, long, func(q *Queue) {
			putRaw(t, background, q, 900)
			go putRaw(t, background, q, 1200)
		}, 900},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := NewQueue(QueueOptions{Buffer: 1200, Account: NewLedger("test").Open("out")})
			defer q.Abort(Shutdown)
			putRaw(t, background, q, tc.before)
			var rested atomic.Bool
			go func() {
				if tc.before == 0 {
					for resting := false; !resting && !rested.Load(); time.Sleep(time.Millisecond) {
						q.mu.Lock()
						resting = q.enough > 0
						q.mu.Unlock()
					}
				}
				tc.then(q)
			}()
			began := time.Now()
			q.WaitBatch(tc.ctx, 1000, tc.limit)
			took := time.Since(began)
			rested.Store(true)
			if took > long/2 || tc.limit == short && took < short {
				t.Errorf("it rested for %v", took)
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			if q.size != tc.want || q.enough != 0 {
				t.Errorf("%d bytes wait, want %d; enough is %d", q.size, tc.want, q.enough)
			}
		})
	}
}

// TestRestAgain: what ended one Rest does not end the next.
func TestRestAgain(t *testing.T) {
	q := NewQueue(QueueOptions{Buffer: 1 << 20, Account: NewLedger("test").Open("out")})
	defer q.Abort(Shutdown)
	for range 3 {
		q.enough = 1
		q.rouse() // too late for a Rest that the time has ended
		q.enough = 0
		began := time.Now()
		q.WaitBatch(context.Background(), 1000, 20*time.Millisecond)
		if took := time.Since(began); took < 20*time.Millisecond {
			t.Fatalf("it rested for %v", took)
		}
	}
}
