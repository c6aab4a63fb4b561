package testserver

import (
	"context"
	"errors"
	"time"
)

// TB is what Start needs of a test or benchmark; *testing.T, *testing.B and testing.TB are.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// patience is how long a test waits for Options.Conns or Options.Bytes when there is no Options.Timeout.
const patience = 30 * time.Second

// Start starts a server for a test. At the test's cleanup it waits for Options.Conns or Options.Bytes, for
// Options.Timeout or half a minute at most, or without these ends the server at once (connections may go on for
// Options.Linger), and fails the test with what did not hold. A test that wants the report itself calls Wait.
func Start(tb TB, o Options) *Server {
	tb.Helper()
	limited := o.Conns > 0 || o.Bytes > 0
	if limited && o.Timeout <= 0 {
		o.Timeout = patience
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
		// The end of a context that the test itself has called Wait with is no failure, whatever its cause.
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
