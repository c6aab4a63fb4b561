package record

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// writer takes parcels from the queue and writes them to segments. It is for one goroutine, but for hangup.
type writer struct {
	template *Template
	limits   Limits
	live     bool
	hashed   bool
	disk     disk
	queue    *stream.Queue
	account  *stream.Account
	trouble  Logger
	finisher *finisher
	archive  *archive
	syncer   syncer
	late     <-chan start // brings what the disk did not answer in time; nil: it did
	hangup   atomic.Bool  // asks for a new file at the next group of pictures

	scan    mpegts.Scanner
	clock   clock
	begun   time.Time // by the temporary name of the last segment
	open    *segment  // nil: none
	frames  int64     // of the whole recording
	written int64     // bytes of the whole recording, injected ones included
	untold  int64     // bytes that were dropped in front of a parcel which was not written
	checked time.Time // when the open segment was last seen to be there
	tables  []byte    // room for injected tables
	pause   time.Duration

	gatherSize int64
	gatherTime time.Duration
	haste      int // how often nothing is to be gathered, since much comes in
	hurried    int // how often it was not
}

// What comes in a little at a time, as from a camera, is gathered up to so many bytes or for so long before it is written:
// each write costs the recorder, and what else runs on a small machine, more than its bytes do. A recorder that is killed
// loses this much more.
const (
	gatherSize = 64 << 10
	gatherTime = 200 * time.Millisecond
)

// shortGather is a time for which nothing is worth gathering.
const shortGather = 10 * time.Millisecond

// gatherWithin sets how much is gathered: a sixteenth at the most of what may wait, and of how old it may become.
func (w *writer) gatherWithin(buffer int64, maxAge time.Duration) {
	w.gatherSize, w.gatherTime = min(gatherSize, buffer/16), gatherTime
	if maxAge > 0 {
		w.gatherTime = min(gatherTime, maxAge/16)
	}
}

// mostHaste is how often nothing is gathered, before it is seen again whether little comes in.
const mostHaste = 64

// gather waits, when there is nothing to write, until there is more than a little. While much comes in that would only keep
// the disk waiting.
func (w *writer) gather(ctx context.Context) {
	if w.gatherTime < shortGather {
		return
	}
	if w.hurried < w.haste {
		w.hurried++
		return
	}
	rested := w.queue.WaitBatch(ctx, w.gatherSize, w.gatherTime)
	switch {
	case rested == 0:
	case rested < w.gatherTime/16:
		w.haste, w.hurried = min(2*w.haste+1, mostHaste), 0
	default:
		w.haste = 0
	}
}

// errStop says that a limit of the whole recording was reached.
var errStop = errors.New("the recording has reached its limit")

// run writes until the queue ends, a limit is reached or ctx ends, and finishes all files; when soft has ended, it is a
// signal that has ended the input. It returns an error when something could not be recorded and that is not made up for by
// the ledger: without live, a disk that failed; with it, one that could not be used at all.
func (w *writer) run(ctx, soft context.Context) error {
	if err := w.waitForDisk(ctx); err != nil {
		w.queue.Abort(stream.Shutdown)
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.finisher.start(cancel)
	w.syncer.start()
	err := w.record(ctx)
	reason := End
	switch {
	case errors.Is(err, errStop):
		reason = Stop
	case soft.Err() != nil: // the input has ended because of a signal
		reason = Signal
	}
	w.finish(reason)
	failed := w.finisher.close()
	w.syncer.close()
	if failed != nil {
		w.queue.Requeue() // what was not confirmed is lost
	}
	if errors.Is(err, errStop) {
		w.queue.Abort(stream.Stop)
		err = nil
	} else {
		w.queue.Abort(stream.Shutdown)
	}
	if w.live || ctx.Err() != nil && failed == nil {
		return nil
	}
	return errors.Join(err, failed)
}

// waitForDisk waits for a disk that hung at the start.
func (w *writer) waitForDisk(ctx context.Context) error {
	if w.late == nil {
		return nil
	}
	select {
	case s := <-w.late:
		w.finisher.manifest, w.finisher.playlist = s.manifest, s.playlist
		return s.err
	case <-ctx.Done():
		return fmt.Errorf("record to %s: the disk did not answer", w.template)
	}
}

// record returns nil at the end of the queue or of ctx.
func (w *writer) record(ctx context.Context) error {
	var p stream.Delivery // one for all, because it is on the heap
	for {
		if ctx.Err() != nil {
			return nil
		}
		w.gather(ctx)
		var end error
		if p, end = w.queue.Take(ctx); end != nil {
			return nil
		}
		err := w.check(p.ReceivedAt)
		if err == nil && w.live { // else it ends ctx, and is told at the end
			err = w.finisher.failure()
		}
		if err == nil {
			err = w.parcel(ctx, &p)
		} else {
			w.untold += p.Dropped
		}
		p.Release()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errStop), !w.live:
			return err
		default:
			w.beginAnew(ctx, err)
		}
	}
}

// beginAnew begins anew after the disk has failed: what was not confirmed is lost, and the next parcel begins a group of
// pictures and a file.
func (w *writer) beginAnew(ctx context.Context, err error) {
	w.trouble.Warn("disk", "recording interrupted", "err", err)
	w.finish(Error)
	w.finisher.flush()
	_ = w.finisher.failure() // what else has failed up to here is made good with it
	w.queue.Requeue()
	w.rest(ctx)
}

// Pauses between attempts to use a disk that fails.
const (
	minPause = 50 * time.Millisecond
	maxPause = time.Second
)

func (w *writer) rest(ctx context.Context) {
	w.pause = min(max(2*w.pause, minPause), maxPause)
	timer := time.NewTimer(w.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// checkEvery is how often it is seen that the open segment is still there.
const checkEvery = time.Second

// check sees, once in a while, that the open segment can still become a file: its folder may have been removed, or its
// file system be gone, and writing to it goes on for a long time without an error.
func (w *writer) check(now time.Time) error {
	if w.open == nil || now.Sub(w.checked) < checkEvery {
		return nil
	}
	w.checked = now
	s := w.open
	err := s.check()
	if err == nil {
		return nil
	}
	w.setOpen(nil)
	w.finisher.abandon(s, err)
	w.finisher.flush()
	if !w.live {
		return errWrite // the finisher has ended the recording, and will say why
	}
	return w.finisher.failure()
}

// parcel writes p, or as much of it as the limits allow.
func (w *writer) parcel(ctx context.Context, p *stream.Delivery) error {
	w.clock.arrive(p.ReceivedAt, p.Kind == stream.Bytes)
	if p.RandomAccess && p.Kind == stream.Packets {
		for i := leadingTables(p); i < len(p.Data); i += mpegts.PacketSize {
			if stamp, ok := mpegts.Packet(p.Data[i : i+mpegts.PacketSize]).DTS(); ok {
				w.clock.stamp(fromFrames, stamp, p.ReceivedAt)
				break
			}
		}
	}
	if w.open != nil && p.RandomAccess {
		reason := w.due(p.ReceivedAt)
		if reason != "" && !(p.Kind == stream.Packets && w.overAtFirstFrame(p)) {
			w.finish(reason)
		}
	}
	c := cut{w: w, p: p, pos: p.Pos - int64(p.Size), isInjected: injectedPackets(p)}
	var err error
	if p.Kind == stream.Packets {
		err = c.packets(ctx)
	} else {
		err = c.bytes(ctx)
	}
	if errors.Is(err, errWrite) {
		w.mend()
	}
	return err
}

// finish hands the open segment, if there is one, to the finisher.
func (w *writer) finish(reason Reason) {
	s := w.open
	if s == nil {
		return
	}
	w.setOpen(nil)
	s.reason, s.length = reason, w.clock.elapsed-s.began
	if reason == End || reason == Signal || reason == Error { // the frame that would say how long the last one is did not come
		s.length += w.clock.frame
	}
	if s.empty() { // it will be no file
		w.written -= s.size
	}
	w.finisher.finish(s)
	if reason != Error {
		w.pause = 0
	}
}

// mend makes the open segment end at the last whole packet, after a write has failed.
func (w *writer) mend() {
	s := w.open
	w.setOpen(nil)
	err := s.file.Truncate(s.size)
	if err == nil && !s.empty() {
		frames := s.frames
		if _, err = s.examine(); err == nil {
			w.frames += s.frames - frames
		}
	}
	if err != nil {
		w.finisher.abandon(s, fmt.Errorf("mend %s: %w", s.temp, err))
		return
	}
	w.setOpen(s)
	w.finish(Error)
}
