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

// fanout is the set of destinations, which may change while the stream flows: a new one begins with the next group of
// pictures, and one that is removed gets its current group to the end.
type fanout struct {
	mu           sync.Mutex
	destinations []*destination // that get the stream, or are about to
	run          func(*destination)
	over         bool
	failures     []error
	running      sync.WaitGroup // added to under mu while !over
}

// start runs the destinations that there are, and from now on those that are added. stop is told when one fails.
func (f *fanout) start(ctx context.Context, stop context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run = func(d *destination) {
		ctx, cancel := context.WithCancelCause(ctx)
		d.cancel = cancel
		f.running.Go(func() {
			defer cancel(nil)
			err := d.run(ctx)
			if d.leaving.Load() {
				f.release(d)
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
		d.joined = true
		f.run(d)
	}
}

// finish says that the input has ended, waits for all destinations, and returns why some failed.
func (f *fanout) finish() error {
	f.mu.Lock()
	f.over = true
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

// put gives a batch to all destinations; before and after are how many bytes were pending in the reader. It answers
// false when ctx has ended.
func (f *fanout) put(ctx context.Context, b stream.Batch, before, after int) bool {
	// Without the lock: a queue may make it wait, and the set is still to be changed then.
	for _, d := range f.current() {
		switch {
		case !d.joined && d.leaving.Load():
			f.release(d)
		case !d.joined:
			begin := firstBeginning(b)
			if begin == len(b.Chunks) {
				continue
			}
			d.joined = true
			rest := stream.Batch{Chunks: b.Chunks[begin:]}
			rest.N = size(rest.Chunks) + after
			if d.queue.Put(ctx, rest) != nil {
				return false
			}
		case d.leaving.Load():
			end := firstBeginning(b)
			last := stream.Batch{Chunks: b.Chunks[:end], N: b.N}
			if end < len(b.Chunks) {
				last.N = size(last.Chunks) - before // which it was told of, but may not get
			}
			if d.queue.Put(ctx, last) != nil {
				return false
			}
			if end < len(b.Chunks) {
				f.release(d)
			}
		default:
			if d.queue.Put(ctx, b) != nil {
				return false
			}
		}
	}
	return true
}

// current returns the set as it is. It is copied when it is changed, so a caller can go on with the old one.
func (f *fanout) current() []*destination {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.destinations
}

// release lets a destination go that has got its last group of pictures.
func (f *fanout) release(d *destination) {
	d.queue.End()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.destinations = slices.DeleteFunc(slices.Clone(f.destinations), func(other *destination) bool { return other == d })
}

func firstBeginning(b stream.Batch) int {
	i := slices.IndexFunc(b.Chunks, func(c stream.Chunk) bool { return c.Begins })
	if i < 0 {
		return len(b.Chunks)
	}
	return i
}

func size(chunks []stream.Chunk) (n int) {
	for i := range chunks {
		n += len(chunks[i].Data)
	}
	return n
}

// SetURLs changes the destinations while Run is at work. New ones begin with the next group of pictures. Removed ones
// get their current one to the end, and are closed in order if that takes no longer than Linger. The others do not
// notice. If a URL cannot be one, nothing changes.
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
	if f.over || f.run == nil {
		return errors.New("nothing is being pushed")
	}
	f.destinations = slices.Clone(f.destinations)
	for _, d := range f.destinations {
		if !slices.Contains(urls, d.url) && d.leaving.CompareAndSwap(false, true) {
			d.news.removed()
			time.AfterFunc(p.o.Linger, func() { d.cancel(errEnough) })
		}
	}
	for _, url := range urls {
		if slices.ContainsFunc(f.destinations, func(d *destination) bool { return d.url == url && !d.leaving.Load() }) {
			continue
		}
		d := newDestination(url, &p.o)
		d.news.added()
		f.destinations = append(f.destinations, d)
		f.run(d)
	}
	return nil
}
