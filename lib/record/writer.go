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

// writer takes deliveries from the queue and writes them to segments. All but hangup belongs to one goroutine.
type writer struct {
	template  *Template
	limits    Limits
	live      bool
	hashed    bool
	disk      disk
	queue     *stream.Queue
	account   *stream.Account
	throttled Logger
	finalizer *finalizer
	archive   *archive
	syncer    syncer
	preparing <-chan prepared // prepares a disk that was too slow at start; may be nil
	hangup    atomic.Bool     // asks for a new file at the next keyframe

	batcher *batcher
	writerState
}

// writerState is what the writer's goroutine knows of the recording and of the stream.
type writerState struct {
	scan            mpegts.Scanner
	clock           clock
	lastStart       time.Time // of the last segment, as in its temporary name
	open            *segment  // may be nil
	frames          int64     // of the whole recording
	written         int64     // bytes of the whole recording, with injected ones
	unreportedDrops int64     // bytes that were dropped before a delivery which was not written
	checkedAt       time.Time // when the open segment's file was last checked
	tables          []byte    // buffer for what is put in front of a segment
	marks           []mpegts.Mark
	videoPID        uint16    // 0: none is known
	lastChange      time.Time // when a file last began because of a change
	changePending   bool      // the stream has changed since the open file began
	setsWarned      bool
	deletions       int // by retention, when room was last made
	nextBackoff     time.Duration
}

// errStop says that a limit of the whole recording was reached.
var errStop = errors.New("the recording has reached its limit")

// run writes until the queue ends, a limit is reached or ctx ends, and finishes all files. graceful has ended if a
// signal has ended the input. The error is what the ledger does not make up for: without live, that of a failing disk;
// with live, only that of a disk that was never usable.
func (w *writer) run(ctx, graceful context.Context) error {
	if err := w.waitForDisk(ctx); err != nil {
		close(w.finalizer.ended) // it is not started
		w.queue.Abort(stream.Shutdown)
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.finalizer.start(cancel)
	w.syncer.start()
	err := w.record(ctx)
	reason := End
	switch {
	case errors.Is(err, errStop):
		reason = Stop
	case graceful.Err() != nil: // a signal has ended the input
		reason = Signal
	}
	w.finish(reason)
	failed := w.finalizer.close()
	w.syncer.close()
	if failed != nil {
		w.queue.Requeue() // what is not confirmed is lost
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

// waitForDisk waits for a disk that did not answer at start.
func (w *writer) waitForDisk(ctx context.Context) error {
	if w.preparing == nil {
		return nil
	}
	select {
	case s := <-w.preparing:
		w.finalizer.manifest, w.finalizer.playlist = s.manifest, s.playlist
		return s.err
	case <-ctx.Done():
		return fmt.Errorf("record to %s: the disk did not answer", w.template)
	}
}

// record writes deliveries. It returns nil at the end of the queue or of ctx.
func (w *writer) record(ctx context.Context) error {
	var p stream.Delivery // one for all deliveries, because it escapes to the heap
	for {
		if ctx.Err() != nil {
			return nil
		}
		w.batcher.wait(ctx)
		var end error
		if p, end = w.queue.Take(ctx); end != nil {
			return nil
		}
		err := w.checkOpen(p.ReceivedAt)
		if err == nil && w.live { // without live the finalizer ends ctx, and close returns the error
			err = w.finalizer.failure()
		}
		if err == nil {
			err = w.write(ctx, &p)
		} else {
			w.unreportedDrops += p.Dropped
		}
		p.Release()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errStop), !w.live:
			return err
		default:
			w.restartAfterError(ctx, err)
		}
	}
}

// restartAfterError goes on after the disk has failed. What is not confirmed is lost, and the next delivery begins with
// a keyframe in a new file.
func (w *writer) restartAfterError(ctx context.Context, err error) {
	w.throttled.Warn("disk", "recording interrupted", "err", err)
	w.finish(Error)
	w.finalizer.drainAndReset()
	_ = w.finalizer.failure() // the restart covers these errors, too
	w.queue.Requeue()
	w.backoff(ctx)
}

// Bounds of the pause between attempts to use a failing disk.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

func (w *writer) backoff(ctx context.Context) {
	w.nextBackoff = min(max(2*w.nextBackoff, minBackoff), maxBackoff)
	timer := time.NewTimer(w.nextBackoff)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// checkInterval is how often the file of the open segment is checked.
const checkInterval = time.Second

// checkOpen checks at intervals that the open segment can still become a finished file. If its folder was removed or
// its file system is gone, writes may succeed for a long time.
func (w *writer) checkOpen(now time.Time) error {
	if w.open == nil || now.Sub(w.checkedAt) < checkInterval {
		return nil
	}
	w.checkedAt = now
	s := w.open
	err := s.check()
	if err == nil {
		return nil
	}
	w.setOpen(nil)
	w.finalizer.setAside(s, err)
	w.finalizer.drainAndReset()
	if !w.live {
		return errWrite // the finalizer has ended the recording with an error that says why
	}
	return w.finalizer.failure()
}

// write writes p, or as much of it as the limits allow.
func (w *writer) write(ctx context.Context, p *stream.Delivery) error {
	w.clock.arrive(p.ReceivedAt, p.Kind == stream.Bytes)
	if p.RandomAccess && p.Kind == stream.Packets {
		for i := leadingPSI(p); i < len(p.Data); i += mpegts.PacketSize {
			if stamp, ok := mpegts.Packet(p.Data[i : i+mpegts.PacketSize]).DTS(); ok {
				w.clock.stamp(fromFrames, stamp, p.ReceivedAt)
				break
			}
		}
	}
	if w.open != nil {
		reason := Reason("")
		if p.RandomAccess {
			reason = w.shouldRotate(p.ReceivedAt)
		}
		if w.isAnew(p) && reason == "" {
			reason = Anew
		} else if p.Change&mpegts.ClockJump != 0 {
			w.open.jump()
		}
		if reason != "" && !(p.Kind == stream.Packets && w.stopsAtFirstFrame(p)) {
			w.finish(reason)
		}
	}
	c := segmenter{w: w, p: p, pos: p.Pos - int64(p.Size), isInjected: injectedPackets(p)}
	var err error
	if p.Kind == stream.Packets {
		err = c.writePackets(ctx)
	} else {
		err = c.writeBytes(ctx)
	}
	if errors.Is(err, errWrite) {
		w.truncateToPacket()
	}
	return err
}

// finish hands the open segment, if any, to the finalizer.
func (w *writer) finish(reason Reason) {
	s := w.open
	if s == nil {
		return
	}
	w.setOpen(nil)
	s.reason, s.length = reason, w.clock.elapsed-s.began
	if reason == End || reason == Signal || reason == Error { // the frame that would end the last one has not come
		s.length += w.clock.frame
	}
	if s.empty() { // it will not become a file
		w.written -= s.size
	}
	w.finalizer.finish(s)
	if reason != Error {
		w.nextBackoff = 0
	}
}

// truncateToPacket ends the open segment at its last whole packet after a failed write.
func (w *writer) truncateToPacket() {
	s := w.open
	w.setOpen(nil)
	err := s.file.Truncate(s.size)
	if err == nil && !s.empty() {
		frames := s.frames
		if _, err = s.rescan(); err == nil {
			w.frames += s.frames - frames
		}
	}
	if err != nil {
		w.finalizer.setAside(s, fmt.Errorf("cut %s to whole packets: %w", s.temp, err))
		return
	}
	w.setOpen(s)
	w.finish(Error)
}
