package testserver

import (
	"context"
	"errors"
	"time"
)

// TB is what Start needs of a test or benchmark: a *testing.T, *testing.B or testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// startTimeout is how long a test waits for Options.Conns or Options.Bytes if there is no Options.Timeout.
const startTimeout = 30 * time.Second

// Start starts a server for a test. The test's cleanup waits for Options.Conns or Options.Bytes, at most for
// Options.Timeout or 30 s; if neither is set, it ends the server at once, and connections may go on for Options.Linger.
// Then it fails the test with each expectation that failed. A test may call Wait for the report before that.
func Start(tb TB, o Options) *Server {
	tb.Helper()
	limited := o.Conns > 0 || o.Bytes > 0
	if limited && o.Timeout <= 0 {
		o.Timeout = startTimeout
	}
	s, err := New(o)
	if err != nil {
		tb.Fatalf("test server: %v", err)
		return nil
	}
	tb.Cleanup(func() {
		tb.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if !limited {
			cancel()
		}
		r, err := s.Wait(ctx)
		// If the test itself called Wait, the end of its context is not a failure, whatever the cause.
		if errors.Is(err, ErrTimeout) || isClosed(s.broken) {
			tb.Errorf("test server: %v; %d connections came", err, len(r.Connections))
		}
		for _, v := range r.Expectations {
			if !v.OK {
				tb.Errorf("test server: expectation %s failed: %s", v.Name, v.Detail)
			}
		}
	})
	return s
}
