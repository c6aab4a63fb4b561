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
// pictures, and one that is removed gets its current group to the end. No byte falls between the two.
type fanout struct {
	o       *Options
	waiting int64 // bytes since a change was asked for, without a group that began; for the goroutine that feeds

	feeding sync.Mutex // held by put, and to let go of a destination in the middle of its group
	fed     time.Time  // when put returned last; under feeding
	pending int        // bytes that were pending in the reader then; under feeding
	cut     bool       // one was let go in the middle of a group, so that others need not wait for the next; under feeding

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
				f.feeding.Lock()
				f.letGo(d)
				f.feeding.Unlock()
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
// false when ctx has ended; then too each destination that has joined was told of the batch.
func (f *fanout) put(ctx context.Context, b stream.Batch, before, after int) bool {
	// Without mu: a queue may make it wait, and the set is still to be changed then.
	f.feeding.Lock()
	defer f.feeding.Unlock()
	defer func() { f.fed, f.pending = time.Now(), after }()
	all := f.current()
	turn := f.turn(all, &b)
	ok := true
	for _, d := range all {
		var err error
		switch {
		case !d.joined && d.leaving.Load():
			f.release(d)
		case !d.joined && turn == len(b.Chunks):
		case !d.joined:
			d.joined = true
			rest := stream.Batch{Chunks: b.Chunks[turn:]}
			rest.N = size(rest.Chunks) + after
			err = d.queue.Put(ctx, rest)
		case d.leaving.Load():
			last := stream.Batch{Chunks: b.Chunks[:turn], N: b.N}
			if turn < len(b.Chunks) {
				last.N = size(last.Chunks) - before // which it was told of, but may not get
			}
			err = d.queue.Put(ctx, last)
			if turn < len(b.Chunks) {
				f.release(d)
			}
		default:
			err = d.queue.Put(ctx, b)
		}
		ok = ok && err == nil
	}
	return ok
}

// turn returns with which chunk of b a change of the destinations takes effect: the first that begins a group of
// pictures, or len(b.Chunks) if that is still to come.
func (f *fanout) turn(all []*destination, b *stream.Batch) int {
	if len(b.Chunks) == 0 {
		return 0
	}
	changing, served := false, false
	for _, d := range all {
		changing = changing || !d.joined || d.leaving.Load()
		served = served || d.joined
	}
	cut := f.cut
	f.cut = false
	switch {
	case !changing:
		f.waiting = 0
		return len(b.Chunks) // also for what changes just now
	case !served || cut:
		return 0 // who had the stream is gone before the end of its group: what comes now is for the new ones
	}
	if i := slices.IndexFunc(b.Chunks, func(c stream.Chunk) bool { return c.RandomAccess }); i >= 0 {
		f.waiting = 0
		return i
	}
	if f.waiting += int64(size(b.Chunks)); f.waiting <= f.o.Buffer {
		return len(b.Chunks)
	}
	f.waiting = 0
	f.o.Log.Warn("change", "no keyframe for so long that the destinations changed without one", "buffer", f.o.Buffer,
		"hint", "let the encoder make keyframes, and set random_access_indicator in the MPEG-TS")
	b.Chunks = slices.Clone(b.Chunks)
	b.Chunks[0].RandomAccess = true
	return 0
}

// current returns the set as it is. It is copied when it is changed, so a caller can go on with the old one.
func (f *fanout) current() []*destination {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.destinations
}

// remove lets a destination go when it has got its current group of pictures to the end. When Linger is over, one that
// has no connection has had it, for without live the others wait for it, and so has one whose group does not go on.
func (f *fanout) remove(d *destination) {
	const lookAgain = time.Second
	var look func()
	look = func() {
		switch {
		case d.released.Load():
		case !d.connected.Load():
			d.cancel(errEnough)
		case !f.releaseSilent(d, max(f.o.Linger, lookAgain)):
			time.AfterFunc(lookAgain, look)
		}
	}
	time.AfterFunc(f.o.Linger, look)
}

// releaseSilent lets a destination go in the middle of its group, if nothing has come for so long. It answers false when
// that is to be tried again.
func (f *fanout) releaseSilent(d *destination, limit time.Duration) bool {
	if !f.feeding.TryLock() {
		return false // there is something to feed
	}
	defer f.feeding.Unlock()
	switch {
	case f.ended():
		return true // it goes with all others
	case time.Since(f.fed) < limit:
		return false
	}
	f.letGo(d)
	return true
}

// letGo releases a destination wherever its group is, so that what comes next is for others from its first byte. f.feeding
// is held.
func (f *fanout) letGo(d *destination) {
	if d.joined && !d.released.Load() {
		_ = d.queue.Put(context.Background(), stream.Batch{N: -f.pending}) // it was told of them, but does not get them
		f.cut = true
	}
	f.release(d)
}

func (f *fanout) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// release lets a destination go that has got its last group of pictures: within Linger.
func (f *fanout) release(d *destination) {
	if d.released.CompareAndSwap(false, true) {
		time.AfterFunc(f.o.Linger, func() { d.cancel(errEnough) })
	}
	d.queue.End()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.destinations = slices.DeleteFunc(slices.Clone(f.destinations), func(other *destination) bool { return other == d })
}

func size(chunks []stream.Chunk) (n int) {
	for i := range chunks {
		n += len(chunks[i].Data)
	}
	return n
}

// SetURLs changes the destinations while Run is at work. New ones begin with the next group of pictures, or the next bytes
// when there has been none for as many as Buffer. Removed ones get their current one to the end, unless they have lost
// their connection when Linger is over, or nothing comes, and are closed in order if that takes no longer than Linger. The others do not
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
			f.remove(d)
		}
	}
	for _, url := range urls {
		if slices.ContainsFunc(f.destinations, func(d *destination) bool { return d.url == url && !d.leaving.Load() }) {
			continue
		}
		d := newDestination(url, &p.o, true)
		d.news.added()
		f.destinations = append(f.destinations, d)
		f.run(d)
	}
	return nil
}
