package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signalled is the cause with which the contexts of Stop end.
type Signalled struct{ Signal syscall.Signal }

func (s Signalled) Error() string { return "received " + unix.SignalName(s.Signal) }

// Shutdown tells when the user wants the tool to end: the first SIGINT or SIGTERM asks it to finish, the second to stop
// now.
type Shutdown struct {
	soft, hard             context.Context
	cancelSoft, cancelHard context.CancelCauseFunc

	signals   chan os.Signal
	terminate chan struct{}
	done      chan struct{}
}

// NotifyShutdown begins to listen. SIGHUP calls reload, one call at a time; without reload it counts as SIGTERM, unless the
// process was started with it ignored (nohup), which stays so.
//
// An ignored SIGINT does not stay so: scripts start pipelines in the background with it ignored, and those are to
// finish when Ctrl-C ends the script.
func NotifyShutdown(reload func()) *Shutdown {
	s := &Shutdown{
		signals:   make(chan os.Signal, 8),
		terminate: make(chan struct{}),
		done:      make(chan struct{}),
	}
	s.soft, s.cancelSoft = context.WithCancelCause(context.Background())
	s.hard, s.cancelHard = context.WithCancelCause(context.Background())
	signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM)
	if reload != nil || !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(s.signals, syscall.SIGHUP)
	}
	go s.listen(reload)
	return s
}

func (s *Shutdown) listen(reload func()) {
	defer close(s.done)
	for {
		select {
		case sig := <-s.signals:
			cause := Signalled{sig.(syscall.Signal)}
			switch {
			case cause.Signal == syscall.SIGHUP && reload != nil:
				reload()
			case s.soft.Err() == nil:
				s.cancelSoft(cause)
			default:
				s.cancelHard(fmt.Errorf("told twice to stop: %w", cause))
			}
		case <-s.terminate:
			return
		}
	}
}

// Graceful ends at the first signal. Its cause is a Signalled.
func (s *Shutdown) Graceful() context.Context { return s.soft }

// Immediate ends at the second signal. Its cause wraps a Signalled.
func (s *Shutdown) Immediate() context.Context { return s.hard }

// Close stops listening: signals have their default effect again, and neither context ends any more. It waits for a
// running reload.
func (s *Shutdown) Close() {
	signal.Stop(s.signals)
	close(s.terminate)
	<-s.done
}
