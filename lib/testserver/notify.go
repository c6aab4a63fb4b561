package testserver

import "sync"

// notifier makes calls one after another, in a goroutine of its own, so that a slow listener does not delay whoever
// has something to tell.
type notifier struct {
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	calls   []func()
	ended   bool
}

func newNotifier() *notifier {
	n := &notifier{done: make(chan struct{})}
	n.changed.L = &n.mu
	go n.run()
	return n
}

func (n *notifier) tell(call func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, call)
	n.changed.Signal()
}

// close returns when all calls have been made.
func (n *notifier) close() {
	n.mu.Lock()
	n.ended = true
	n.changed.Signal()
	n.mu.Unlock()
	<-n.done
}

func (n *notifier) run() {
	defer close(n.done)
	for {
		n.mu.Lock()
		for len(n.calls) == 0 && !n.ended {
			n.changed.Wait()
		}
		calls := n.calls
		n.calls = nil
		n.mu.Unlock()
		if len(calls) == 0 {
			return
		}
		for _, call := range calls {
			call()
		}
	}
}
