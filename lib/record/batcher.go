package record

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/stream"
)

// Small deliveries, as from a camera, are batched up to this size and for this long before they are written: on a small
// machine a write costs more than its bytes. A recorder that is killed loses one batch more.
const (
	maxBatchSize = 64 << 10
	maxBatchTime = 200 * time.Millisecond
	// minBatchTime is the shortest time that is worth waiting for a batch.
	minBatchTime = 10 * time.Millisecond
	// maxSkip bounds how many batches are skipped before the rate of the input is tested again.
	maxSkip = 64
)

// batcher lets the writer wait until a batch is queued. The reader's goroutine calls arrived, the writer's wait.
type batcher struct {
	queue *stream.Queue
	size  int64
	time  time.Duration

	waiting atomic.Bool
	ready   wake.Signal // a batch is there
	timer   *time.Timer

	skips   int // how many batches to skip, because much comes in
	skipped int // how many were skipped
}

// newBatcher bounds a batch to a sixteenth of the buffer and of the maximum age (0: any).
func newBatcher(q *stream.Queue, buffer int64, maxAge time.Duration) *batcher {
	b := &batcher{queue: q, size: min(maxBatchSize, buffer/16), time: maxBatchTime, ready: wake.New()}
	if maxAge > 0 {
		b.time = min(maxBatchTime, maxAge/16)
	}
	return b
}

// arrived is called before n bytes are put into the queue. It must be before: if they do not fit, Put waits for the
// writer.
func (b *batcher) arrived(n int) {
	if b.waiting.Load() && b.queue.Waiting()+int64(n) >= b.size {
		b.ready.Set()
	}
}

// wait waits for a batch if nothing is queued. While much comes in it does not, because that would only keep the disk
// waiting.
func (b *batcher) wait(ctx context.Context) {
	if b.time < minBatchTime {
		return
	}
	if b.skipped < b.skips {
		b.skipped++
		return
	}
	switch waited := b.await(ctx); {
	case waited == 0:
	case waited < b.time/16:
		b.skips, b.skipped = min(2*b.skips+1, maxSkip), 0
	default:
		b.skips = 0
	}
}

// await returns how long it waited; 0 when something is queued.
func (b *batcher) await(ctx context.Context) time.Duration {
	select {
	case <-b.ready: // for an earlier call
	default:
	}
	b.waiting.Store(true)
	defer b.waiting.Store(false)
	if b.queue.Waiting() > 0 {
		return 0
	}
	began := time.Now()
	if b.timer == nil {
		b.timer = time.NewTimer(b.time)
	} else {
		b.timer.Reset(b.time)
	}
	defer b.timer.Stop()
	select {
	case <-b.ready:
	case <-b.timer.C:
	case <-b.queue.Ended():
	case <-ctx.Done():
	}
	return time.Since(began)
}
