package record

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// put announces and puts n bytes.
func put(ctx context.Context, q *stream.Queue, b *batcher, n int) {
	r := stream.NewReader(bytes.NewReader(make([]byte, n)), stream.ReaderOptions{Format: stream.Raw})
	defer r.Close()
	for batch, err := r.Next(); err == nil; batch, err = r.Next() {
		b.arrived(batch.N)
		_ = q.Put(ctx, batch)
	}
}

// TestBatcherWaits: the writer waits while there is little, and no longer.
func TestBatcherWaits(t *testing.T) {
	const buffer, size = 16000, 1000
	for _, tc := range []struct {
		name   string
		before int // bytes that are queued before
		then   func(ctx context.Context, cancel func(), q *stream.Queue, b *batcher)
		waits  time.Duration
	}{
		{"something is queued", 1, func(context.Context, func(), *stream.Queue, *batcher) {}, 0},
		{"a batch comes, in two steps", 0, func(ctx context.Context, _ func(), q *stream.Queue, b *batcher) {
			put(ctx, q, b, size-1)
			time.Sleep(time.Millisecond)
			put(ctx, q, b, 1)
		}, time.Millisecond},
		{"little comes", 0, func(ctx context.Context, _ func(), q *stream.Queue, b *batcher) {
			put(ctx, q, b, size-1)
		}, maxBatchTime},
		{"nothing comes", 0, func(context.Context, func(), *stream.Queue, *batcher) {}, maxBatchTime},
		{"the queue ends", 0, func(_ context.Context, _ func(), q *stream.Queue, _ *batcher) { q.End() }, 0},
		{"the context ends", 0, func(_ context.Context, cancel func(), _ *stream.Queue, _ *batcher) { cancel() }, 0},
		{"more comes than fits", 0, func(ctx context.Context, _ func(), q *stream.Queue, b *batcher) {
			put(ctx, q, b, size/2)
			put(ctx, q, b, buffer)
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				q := stream.NewQueue(stream.QueueOptions{Buffer: buffer,
					Account: stream.NewLedger("vw-record").Open("x")})
				defer q.Abort(stream.Shutdown)
				b := newBatcher(q, buffer, 0)
				if b.size != size {
					t.Fatalf("batches of %d bytes", b.size)
				}
				put(ctx, q, b, tc.before)
				waited := make(chan time.Duration)
				go func() {
					began := time.Now()
					b.wait(ctx)
					waited <- time.Since(began)
				}()
				synctest.Wait()
				go tc.then(ctx, cancel, q, b)
				if d := <-waited; d != tc.waits {
					t.Errorf("it waited for %v, want %v", d, tc.waits)
				}
			})
		})
	}
}

// TestBatcherWaitsAgain: a token that comes too late for one call does not end the next.
func TestBatcherWaitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := stream.NewQueue(stream.QueueOptions{Buffer: 1 << 20, Account: stream.NewLedger("vw-record").Open("x")})
		b := newBatcher(q, 1<<20, 0)
		b.ready <- struct{}{}
		began := time.Now()
		b.wait(t.Context())
		if d := time.Since(began); d != maxBatchTime {
			t.Errorf("it waited for %v", d)
		}
	})
}

// TestBatchIsSmallAgainstBuffer: batches stay small compared to the buffer and the maximum age.
func TestBatchIsSmallAgainstBuffer(t *testing.T) {
	for _, tc := range []struct {
		buffer   int64
		maxAge   time.Duration
		wantSize int64
		wantTime time.Duration
	}{
		{16 << 20, 0, maxBatchSize, maxBatchTime},
		{64 << 10, 0, 4 << 10, maxBatchTime},
		{16 << 20, time.Hour, maxBatchSize, maxBatchTime},
		{16 << 20, 1600 * time.Millisecond, maxBatchSize, 100 * time.Millisecond},
	} {
		b := newBatcher(nil, tc.buffer, tc.maxAge)
		if b.size != tc.wantSize || b.time != tc.wantTime {
			t.Errorf("%d bytes, %v: batches of %d bytes, %v", tc.buffer, tc.maxAge, b.size, b.time)
		}
	}
}

// TestBatchingStopsUnderLoad: while much comes in nothing is batched, and afterwards it is again.
func TestBatchingStopsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := stream.NewQueue(stream.QueueOptions{Buffer: 1 << 20, Account: stream.NewLedger("vw-record").Open("x")})
		defer q.Abort(stream.Shutdown)
		w := newBatcher(q, 16000, 0)
		ctx := context.Background()
		reader := stream.NewReader(sized{bytes.NewReader(make([]byte, 100<<10)), 1000},
			stream.ReaderOptions{Format: stream.Raw})
		defer reader.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b, err := reader.Next(); err == nil; b, err = reader.Next() {
				w.arrived(b.N)
				_ = q.Put(ctx, b)
				time.Sleep(time.Millisecond)
			}
		}()
		for left := 100 << 10; left > 0; {
			w.wait(ctx)
			p, err := q.Take(ctx)
			if err != nil {
				t.Fatal(err)
			}
			left -= len(p.Data)
			p.Release()
		}
		<-done
		if w.skips == 0 {
			t.Error("it waits while much comes in")
		}
		began := time.Now()
		for range maxSkip + 1 {
			if w.wait(ctx); w.skips == 0 {
				break
			}
		}
		if took := time.Since(began); took < w.time {
			t.Errorf("it waits no more: %v", took)
		}
	})
}
