package wsconn

import (
	"context"
	"sync"
)

// ctxWatch cuts a blocking call short when its context ends. It goes on to watch a context between calls, so that the
// next call with the same context costs nothing.
type ctxWatch struct {
	cut func(cause error) // called once, with mu held

	mu      sync.Mutex
	armed   bool            // a call is under way
	ended   bool            // no context may be watched any more
	cause   error           // set when cut has been called
	done    <-chan struct{} // of the context that is watched
	stop    func() bool
	running sync.WaitGroup
}

// arm is called before a call that may block. It returns the cause if a call has been cut short.
func (w *ctxWatch) arm(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
	if done := ctx.Done(); done != w.done && !w.ended {
		w.forget()
		if done != nil {
			w.done = done
			w.running.Add(1)
			w.stop = context.AfterFunc(ctx, func() { w.contextEnded(ctx, done) })
		}
	}
	if ctx.Err() != nil {
		w.cutNow(context.Cause(ctx))
	}
	return w.cause
}

// disarm is called after the call.
func (w *ctxWatch) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
}

func (w *ctxWatch) contextEnded(ctx context.Context, done <-chan struct{}) {
	defer w.running.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed && w.done == done {
		w.cutNow(context.Cause(ctx))
	}
}

func (w *ctxWatch) cutNow(cause error) {
	if w.cause == nil {
		w.cause = cause
		w.cut(cause)
	}
}

// forget stops watching. w.mu is held.
func (w *ctxWatch) forget() {
	if w.stop != nil && w.stop() {
		w.running.Done()
	}
	w.done, w.stop = nil, nil
}

// end stops watching for good, and waits until cut can no longer be called.
func (w *ctxWatch) end() {
	w.mu.Lock()
	w.ended = true
	w.forget()
	w.mu.Unlock()
	w.running.Wait()
}
