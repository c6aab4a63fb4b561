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

// finishPatience is how long the disk has, when all other time is over, to finish the files.
const finishPatience = 2 * time.Second

// task is a goroutine of a running recording.
type task int

const (
	reading task = iota
	writing
	copying
	hooking
)

type result struct {
	task task
	err  error
}

// Run records until the input ends, a limit is reached or the contexts end it, and closes In and Out. The end of soft
// asks to finish: Run reads on for Linger at most, and then writes what is held, within the same time again. The end of
// hard makes it finish at once, and is an error. Run returns when all is done, or when the disk does not answer: then a
// goroutine and a file under its temporary name are left behind, the file for the next recording to keep.
func (r *Recording) Run(soft, hard context.Context) error {
	taking, stopTaking := context.WithCancel(context.Background())
	defer stopTaking()
	results := make(chan result, 4)
	running := 2
	if r.hook != nil {
		r.hook.start()
	}
	go func() { results <- result{reading, r.read(taking)} }()
	go func() { results <- result{writing, r.writer.run(taking, soft)} }()
	if r.copies != nil {
		running++
		go func() { results <- result{copying, r.copy(taking)} }()
	}

	var errs []error
	var late, giveUp <-chan time.Time
	softDone, hardDone := soft.Done(), hard.Done()
	ended := false // the input
	hurry := func() {
		stopTaking()
		if r.hook != nil {
			r.hook.kill()
		}
		if r.config.Out != nil {
			_ = r.config.Out.SetWriteDeadline(time.Unix(1, 0)) // it fails only when Out is closed already
		}
		giveUp = time.After(finishPatience)
	}
	for running > 0 {
		select {
		case <-softDone:
			softDone = nil
			defer time.AfterFunc(r.config.Linger, r.reader.Stop).Stop()
		case <-hardDone:
			hardDone = nil
			errs = append(errs, context.Cause(hard))
			r.reader.Stop()
			hurry()
		case done := <-results:
			running--
			errs = append(errs, done.err)
			switch done.task {
			case reading:
				ended = true
			case writing: // there is nobody to read for: what was read is still copied
				r.reader.Stop()
				if r.hook != nil {
					running++
					go func() { r.hook.close(); results <- result{task: hooking} }()
					defer time.AfterFunc(r.config.Linger, r.hook.kill).Stop()
				}
			}
		case <-late:
			hurry()
		case <-giveUp:
			r.queue.Abort(stream.Shutdown)
			if r.copies != nil {
				r.copies.Abort(stream.Shutdown)
			}
			return errors.Join(append(errs, fmt.Errorf("finish the files of %s: the disk did not answer", r.config.Template))...)
		}
		if ended && late == nil && (r.config.Live || softDone == nil) {
			late = time.After(r.config.Linger)
		}
	}
	return join(errs)
}

// join is errors.Join, but returns one error as it is.
func join(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// read passes the input on until its end, and closes it.
func (r *Recording) read(ctx context.Context) error {
	for {
		batch, err := r.reader.Next()
		r.config.Ledger.AddIn(batch.N)
		for _, q := range []*stream.Queue{r.copies, r.queue} { // the copy is what somebody waits for
			if q != nil {
				_ = q.Put(ctx, batch) // an error is that of ctx, and what did not get in will be abandoned
			}
		}
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

// copy copies the stream to Out until its end, or as long as somebody reads, and closes Out.
func (r *Recording) copy(outer context.Context) error {
	ctx, cancel := context.WithCancel(outer)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-r.config.Out.Gone():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := stream.Copy(ctx, r.copies, r.config.Out)
	cancel()
	<-watched
	r.copies.Abort(stream.Shutdown)
	closed := r.config.Out.Close()
	switch {
	case outer.Err() != nil:
		return nil
	case err != nil:
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = errors.New("nobody reads it any more")
		}
		r.config.Log.Warn("standard output is gone; the recording goes on", "err", err)
		return ErrOutputGone
	case closed != nil:
		return fmt.Errorf("close standard output: %w", closed)
	}
	return nil
}
