package testserver

import "sync"

// eventQueue makes calls one after another in a goroutine of its own, so that a slow callback delays nothing else.
type eventQueue struct {
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	calls   []func()
	closed  bool
}

func newEventQueue() *eventQueue {
	q := &eventQueue{done: make(chan struct{})}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// call makes the call later.
func (q *eventQueue) call(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, f)
	q.changed.Signal()
}

// close returns when all calls have been made.
func (q *eventQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	<-q.done
}

func (q *eventQueue) run() {
	defer close(q.done)
	for {
		q.mu.Lock()
		for len(q.calls) == 0 && !q.closed {
			q.changed.Wait()
		}
		calls := q.calls
		q.calls = nil
		q.mu.Unlock()
		if len(calls) == 0 {
			return
		}
		for _, f := range calls {
			f()
		}
	}
}
