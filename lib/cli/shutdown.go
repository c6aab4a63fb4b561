package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Signalled is the cause with which the contexts of Shutdown end.
type Signalled struct{ Signal syscall.Signal }

func (s Signalled) Error() string { return "received " + unix.SignalName(s.Signal) }

// sameRequest is how long after a signal another of the same kind is the same request: timeout(1) sends one to its
// child and one to the process group, the child included.
const sameRequest = 200 * time.Millisecond

// Shutdown turns signals into two contexts: the first SIGINT or SIGTERM asks the tool to finish, the second to stop
// now.
type Shutdown struct {
	graceful, immediate             context.Context
	cancelGraceful, cancelImmediate context.CancelCauseFunc

	signals chan os.Signal
	stop    chan struct{}
	done    chan struct{}
}

// NotifyShutdown begins to listen. SIGHUP calls reload, one call at a time; without reload it counts as SIGTERM, unless
// the process was started with it ignored (nohup), which stays so.
//
// An ignored SIGINT does not stay so: scripts start pipelines in the background with it ignored, and those are to
// finish when Ctrl-C ends the script.
func NotifyShutdown(reload func()) *Shutdown {
	s := newShutdown()
	signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM)
	if reload != nil || !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(s.signals, syscall.SIGHUP)
	}
	go s.listen(reload)
	return s
}

func newShutdown() *Shutdown {
	s := &Shutdown{
		signals: make(chan os.Signal, 8),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	s.graceful, s.cancelGraceful = context.WithCancelCause(context.Background())
	s.immediate, s.cancelImmediate = context.WithCancelCause(context.Background())
	return s
}

func (s *Shutdown) listen(reload func()) {
	defer close(s.done)
	var first Signalled
	var at time.Time
	for {
		select {
		case sig := <-s.signals:
			cause := Signalled{sig.(syscall.Signal)}
			switch {
			case cause.Signal == syscall.SIGHUP && reload != nil:
				reload()
			case s.graceful.Err() == nil:
				first, at = cause, time.Now()
				s.cancelGraceful(cause)
			case cause == first && time.Since(at) < sameRequest:
			default:
				s.cancelImmediate(fmt.Errorf("told twice to stop: %w", cause))
			}
		case <-s.stop:
			return
		}
	}
}

// Graceful ends at the first signal. Its cause is a Signalled.
func (s *Shutdown) Graceful() context.Context { return s.graceful }

// Immediate ends at the second signal, which is another one or comes 200 ms after the first. Its cause wraps a
// Signalled.
func (s *Shutdown) Immediate() context.Context { return s.immediate }

// Close stops listening: signals have their default effect again, and neither context ends any more. It waits for a
// running reload.
func (s *Shutdown) Close() {
	signal.Stop(s.signals)
	close(s.stop)
	<-s.done
}
