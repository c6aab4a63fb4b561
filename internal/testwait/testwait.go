// Package testwait lets a test wait for a condition that sends no event when it becomes true: a file that another
// process writes, a counter behind a lock. Where there is an event, wait for that instead.
//
// It is for vw's own tests and may change.
package testwait

import (
	"testing"
	"time"
)

const (
	// timeout is only there to end a test that has failed: a loaded machine must not reach it.
	timeout  = time.Minute
	maxPause = 20 * time.Millisecond
)

// Eventually returns as soon as condition is true, and fails the test after a minute; what names the condition. Only
// the test's own goroutine may call it, as it may call [testing.T.FailNow].
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !Poll(condition) {
		t.Fatalf("not within %v: %s", timeout, what)
	}
}

// Closed waits until a channel is closed, and fails the test after a minute; what names the event that closes it. Only
// the test's own goroutine may call it.
func Closed(t testing.TB, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(timeout):
		t.Fatalf("not within %v: %s", timeout, what)
	}
}

// attempts is how often AtBest tries.
const attempts = 5

// AtBest fails the test if each of several attempts fails. It is for what has a limit in time that a busy machine may
// miss now and then: a fault misses it each time.
func AtBest(t testing.TB, attempt func() error) {
	t.Helper()
	for n := 1; ; n++ {
		err := attempt()
		if err == nil {
			return
		}
		if n == attempts {
			t.Fatalf("%d attempts failed: %v", n, err)
		}
		t.Logf("attempt %d: %v", n, err)
	}
}

// Poll waits as Eventually does, in any goroutine, and reports whether condition became true.
func Poll(condition func() bool) bool {
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; !condition(); pause = min(2*pause, maxPause) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
