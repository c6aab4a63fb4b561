package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// fanout is the set of destinations, which may change while the stream flows. A new one begins with the next group of
// pictures, and one that is removed gets its current group to the end. No byte falls between the two.
type fanout struct {
	o                *Options
	bytesSinceChange int64 // that came without a keyframe since a change was asked for; only put uses it

	putMu   sync.Mutex // held by put, and to detach a destination in the middle of its group
	lastPut time.Time  // when put returned last; under putMu
	pending int        // bytes pending in the reader then; under putMu
	midGOP  bool       // a destination was detached within a group, so the next ones begin at once; under putMu

	mu           sync.Mutex
	destinations []*destination // attached, or about to be; replaced when it changes, never modified
	run          func(*destination)
	ended        bool
	failures     []error
	running      sync.WaitGroup // added to under mu while !ended
}

// start runs the destinations, and from now on those that are added. It calls stop when one fails.
func (f *fanout) start(ctx context.Context, stop context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run = func(d *destination) {
		ctx, cancel := context.WithCancelCause(ctx)
		d.cancel = cancel
		f.running.Go(func() {
			defer cancel(nil)
			err := d.run(ctx)
			if d.removing.Load() {
				f.putMu.Lock()
				f.detachNow(d)
				f.putMu.Unlock()
				d.account.Close()
				return
			}
			if err == nil {
				return
			}
			f.mu.Lock()
			f.failures = append(f.failures, err)
			f.mu.Unlock()
			stop(err)
		})
	}
	for _, d := range f.destinations {
		d.attached = true
		f.run(d)
	}
}

// finish ends all queues, waits for all destinations, and returns why some failed.
func (f *fanout) finish() error {
	f.mu.Lock()
	f.ended = true
	for _, d := range f.destinations {
		d.queue.End()
	}
	f.mu.Unlock()
	f.running.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.failures...)
}

func (f *fanout) list() []*destination {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.destinations)
}

// put puts a batch into the queues of all destinations. before and after are the numbers of bytes pending in the reader
// before and after it read the batch. put returns false when ctx has ended; even then each attached queue has counted
// the batch.
func (f *fanout) put(ctx context.Context, b stream.Batch, before, after int) bool {
	// Without mu, because a queue may block, and the set must still be able to change then.
	f.putMu.Lock()
	defer f.putMu.Unlock()
	all := f.current()
	at := f.switchPoint(all, &b)
	ok := true
	for _, d := range all {
		var err error
		switch {
		case !d.attached && d.removing.Load():
			f.detach(d)
		case !d.attached && at == len(b.Chunks):
		case !d.attached:
			d.attached = true
			rest := stream.Batch{Chunks: b.Chunks[at:]}
			rest.N = size(rest.Chunks) + after
			err = d.put(ctx, rest)
		case d.removing.Load():
			last := stream.Batch{Chunks: b.Chunks[:at], N: b.N}
			if at < len(b.Chunks) {
				last.N = size(last.Chunks) - before // the queue has counted them, but does not get them
			}
			err = d.put(ctx, last)
			if at < len(b.Chunks) {
				f.detach(d)
			}
		default:
			err = d.put(ctx, b)
		}
		ok = ok && err == nil
		d.pacer.Pace(ctx, b.N)
	}
	f.lastPut, f.pending = time.Now(), after
	return ok
}

// switchPoint returns the index of the chunk of b at which a change of the destinations takes effect: the first that
// begins a group of pictures, or len(b.Chunks) if no chunk does. After Buffer bytes without one, the first chunk
// becomes it.
func (f *fanout) switchPoint(all []*destination, b *stream.Batch) int {
	if len(b.Chunks) == 0 {
		return 0
	}
	changing, served := false, false
	for _, d := range all {
		changing = changing || !d.attached || d.removing.Load()
		served = served || d.attached
	}
	midGOP := f.midGOP
	f.midGOP = false
	switch {
	case !changing:
		f.bytesSinceChange = 0
		return len(b.Chunks) // also for a change that is asked for from here on
	case !served || midGOP:
		return 0 // no destination waits for the end of the current group
	}
	if i := slices.IndexFunc(b.Chunks, func(c stream.Chunk) bool { return c.RandomAccess }); i >= 0 {
		f.bytesSinceChange = 0
		return i
	}
	if f.bytesSinceChange += int64(size(b.Chunks)); f.bytesSinceChange <= f.o.Buffer {
		return len(b.Chunks)
	}
	f.bytesSinceChange = 0
	f.o.Log.Warn("change", "no keyframe for so long that the destinations changed without one", "buffer", f.o.Buffer,
		"hint", "let the encoder make keyframes, and set random_access_indicator in the MPEG-TS")
	b.Chunks = slices.Clone(b.Chunks)
	b.Chunks[0].RandomAccess = true
	return 0
}

// current returns the set.
func (f *fanout) current() []*destination {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.destinations
}

// remove detaches a destination, which is marked as removing, if put does not: after Linger, a destination without a
// connection is dropped, because without live it would block the others, and so is one whose group does not go on.
func (f *fanout) remove(d *destination) {
	const checkEvery = time.Second
	var check func()
	check = func() {
		switch {
		case d.detached.Load():
		case !d.connected.Load():
			d.cancel(errShutdownDeadline)
		case !f.detachIdle(d, max(f.o.Linger, checkEvery)):
			time.AfterFunc(checkEvery, check)
		}
	}
	time.AfterFunc(f.o.Linger, check)
}

// detachIdle detaches a destination in the middle of its group if nothing has been put for as long as limit. It returns
// false if the caller must try again.
func (f *fanout) detachIdle(d *destination, limit time.Duration) bool {
	if !f.putMu.TryLock() {
		return false // put is running
	}
	defer f.putMu.Unlock()
	switch {
	case f.hasEnded():
		return true // finish ends all of them
	case time.Since(f.lastPut) < limit:
		return false
	}
	f.detachNow(d)
	return true
}

// detachNow detaches a destination wherever its group is, so that the next byte is for the others. f.putMu is held.
func (f *fanout) detachNow(d *destination) {
	if d.attached && !d.detached.Load() {
		// The queue has counted them, but does not get them.
		_ = d.put(context.Background(), stream.Batch{N: -f.pending})
		f.midGOP = true
	}
	f.detach(d)
}

func (f *fanout) hasEnded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// detach takes a destination out of the set and ends its queue, which it delivers within Linger.
func (f *fanout) detach(d *destination) {
	if d.detached.CompareAndSwap(false, true) {
		time.AfterFunc(f.o.Linger, func() { d.cancel(errShutdownDeadline) })
	}
	d.queue.End()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.destinations = slices.DeleteFunc(slices.Clone(f.destinations), func(other *destination) bool {
		return other == d
	})
}

func size(chunks []stream.Chunk) (n int) {
	for i := range chunks {
		n += len(chunks[i].Data)
	}
	return n
}

// SetURLs changes the destinations while Run is at work; the others do not notice. A new one begins with the next group
// of pictures, or after Buffer bytes without a keyframe. A removed one gets its current group to the end and closes in
// order, if that takes no longer than Linger; it does not get the rest of the group if it has no connection when Linger
// is over, or if no input comes. If a URL is not valid or comes twice, nothing changes.
func (p *Pusher) SetURLs(urls []string) error {
	if len(urls) == 0 {
		return errors.New("no destination")
	}
	for i, url := range urls {
		if err := wsconn.CheckURL(url); err != nil {
			return fmt.Errorf("%s: %w", wsconn.Redact(url), err)
		}
		if slices.Contains(urls[:i], url) {
			return fmt.Errorf("%s: twice", wsconn.Redact(url))
		}
	}
	f := &p.all
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.run == nil {
		return errors.New("nothing is being pushed")
	}
	f.destinations = slices.Clone(f.destinations)
	for _, d := range f.destinations {
		if !slices.Contains(urls, d.url) && d.removing.CompareAndSwap(false, true) {
			d.status.removed()
			f.remove(d)
		}
	}
	for _, url := range urls {
		if slices.ContainsFunc(f.destinations, func(d *destination) bool {
			return d.url == url && !d.removing.Load()
		}) {
			continue
		}
		d := newDestination(url, &p.o, true)
		d.status.added()
		f.destinations = append(f.destinations, d)
		f.run(d)
	}
	return nil
}
