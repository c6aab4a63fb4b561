package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// finishTimeout is how long, after Linger, the disk may take to finish the files.
const finishTimeout = 2 * time.Second

// task is a goroutine of a running recording.
type task int

const (
	reading task = iota
	writing
	copying
	following // rebuilding lines, and running commands, after all files are finished
)

type result struct {
	task task
	err  error
}

// Run records until the input ends, a limit is reached or a context ends it, and closes In and Out. When graceful
// ends, Run reads on for at most Linger, and then writes what is held for at most as long again. When immediate ends,
// it finishes at once and returns an error. If the disk does not answer, Run leaves a goroutine and an
// unfinished file, which the next recording recovers.
func (r *Recording) Run(graceful, immediate context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	defer r.finalizer.stop()
	results := make(chan result, 4)
	running := 2
	go func() { results <- result{reading, r.read(ctx)} }()
	go func() { results <- result{writing, r.writer.run(ctx, graceful)} }()
	if r.copies != nil {
		running++
		go func() { results <- result{copying, r.copy(ctx)} }()
	}

	var errs []error
	var lingerOver, finishOver <-chan time.Time
	gracefulDone, immediateDone := graceful.Done(), immediate.Done() // nil if they can never end
	isStopping, inputEnded := false, false
	endNow := func() {
		stop()
		r.finalizer.stop()
		if r.config.Out != nil {
			_ = r.config.Out.SetWriteDeadline(time.Unix(1, 0)) // it fails only if Out is already closed
		}
		finishOver = time.After(finishTimeout)
	}
	for running > 0 {
		select {
		case <-gracefulDone:
			gracefulDone, isStopping = nil, true
			defer time.AfterFunc(r.config.Linger, r.reader.Stop).Stop()
		case <-immediateDone:
			immediateDone = nil
			errs = append(errs, context.Cause(immediate))
			r.reader.Stop()
			endNow()
		case done := <-results:
			running--
			errs = append(errs, done.err)
			switch done.task {
			case reading:
				inputEnded = true
			case copying:
				if r.config.EndWithReader && errors.Is(done.err, ErrOutputGone) {
					r.reader.Stop()
				}
			case writing: // the input is not read on, but what was read is still copied
				r.reader.Stop()
				running++
				go func() { <-r.finalizer.ended; results <- result{task: following} }()
				defer time.AfterFunc(r.config.Linger, r.finalizer.stop).Stop()
			}
		case <-lingerOver:
			endNow()
		case <-finishOver:
			r.queue.Abort(stream.Shutdown)
			if r.copies != nil {
				r.copies.Abort(stream.Shutdown)
			}
			err := fmt.Errorf("finish the files of %s: the disk did not answer", r.config.Template)
			return errors.Join(append(errs, err)...)
		}
		if inputEnded && lingerOver == nil && (r.config.Live || isStopping) {
			lingerOver = time.After(r.config.Linger)
		}
	}
	r.finalizer.manifest.release()
	return join(errs)
}

// join is errors.Join, except that it returns a single error as it is.
func join(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// read puts the input into the queues until it ends, and closes it.
func (r *Recording) read(ctx context.Context) error {
	pacer, copyPacer := stream.NewPacer(r.queue), stream.NewPacer(r.copies)
	for {
		batch, err := r.reader.Next()
		r.config.Ledger.AddBatch(batch)
		// Put fails only when ctx ends. Then Abort accounts for what was not queued.
		if r.output != nil { // first: another tool waits for the copy
			_ = r.output.Put(ctx, batch)
			copyPacer.Pace(ctx, batch.N)
		}
		r.writer.batcher.arrived(batch.N)
		_ = r.queue.Put(ctx, batch)
		pacer.Pace(ctx, batch.N)
		if err == nil {
			continue
		}
		r.queue.End()
		if r.copies != nil {
			r.copies.End()
		}
		r.reader.Close()
		_ = r.config.In.Close() // nothing was written to it
		if err == io.EOF {
			return nil
		}
		return fmt.Errorf("read: %w", err)
	}
}

// copy copies the stream to Out until it ends or the reader goes away, and closes Out.
func (r *Recording) copy(outer context.Context) error {
	ctx, cancel := context.WithCancel(outer)
	watcherDone := make(chan struct{})
	go func() {
		defer close(watcherDone)
		select {
		case <-r.config.Out.Gone():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := r.output.Run(ctx)
	cancel()
	<-watcherDone
	r.copies.Abort(stream.Shutdown)
	closed := r.config.Out.Close()
	switch {
	case outer.Err() != nil:
		return nil
	case err != nil:
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = errors.New("its reader has gone away")
		}
		what := "the recording goes on"
		if r.config.EndWithReader {
			what = "the recording ends"
		}
		r.config.Log.Warn("standard output is gone; "+what, "err", err)
		return ErrOutputGone
	case closed != nil:
		return fmt.Errorf("close standard output: %w", closed)
	}
	return nil
}
