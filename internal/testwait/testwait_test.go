package testwait

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// failure is a test that records how it failed.
type failure struct {
	testing.TB
	message string
}

func (*failure) Helper() {}

func (f *failure) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestEventually(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // when the condition becomes true
		want  string
	}{
		{"true at once", 0, ""},
		{"true later", timeout / 2, ""},
		{"never true", 2 * timeout, "not within 1m0s: the moon is blue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				f := &failure{TB: t}
				done := make(chan struct{})
				go func() {
					defer close(done)
					Eventually(f, "the moon is blue", func() bool { return time.Since(start) >= test.after })
				}()
				<-done
				if f.message != test.want {
					t.Errorf("failed with %q, want %q", f.message, test.want)
				}
				latest := min(test.after, timeout) + maxPause
				if d := time.Since(start); d > latest {
					t.Errorf("returned after %v, want at most %v", d, latest)
				}
			})
		})
	}
}

func TestClosed(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // when the channel is closed
		want  string
	}{
		{"closed later", timeout / 2, ""},
		{"never closed", 2 * timeout, "not within 1m0s: the moon has set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				event := make(chan struct{})
				time.AfterFunc(test.after, func() { close(event) })
				f := &failure{TB: t}
				done := make(chan struct{})
				go func() {
					defer close(done)
					Closed(f, "the moon has set", event)
				}()
				<-done
				if f.message != test.want {
					t.Errorf("failed with %q, want %q", f.message, test.want)
				}
			})
		})
	}
}

func TestAtBest(t *testing.T) {
	for _, test := range []struct {
		failures int
		want     string
	}{
		{0, ""},
		{attempts - 1, ""},
		{attempts, "5 attempts failed: late"},
	} {
		f := &failure{TB: t}
		n := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			AtBest(f, func() error {
				if n++; n <= test.failures {
					return errors.New("late")
				}
				return nil
			})
		}()
		<-done
		if f.message != test.want {
			t.Errorf("after %d failures: failed with %q, want %q", test.failures, f.message, test.want)
		}
	}
}
