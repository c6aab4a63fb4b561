package cli

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryReleaser(t *testing.T) {
	steps := []struct {
		activity Activity
		release  bool
	}{
		{Activity{0, 0, 0}, false},      // nothing has come yet
		{Activity{500, 500, 9}, false},  // a crowd comes
		{Activity{900, 900, 99}, false}, // and goes on
		{Activity{900, 900, 100}, true}, // it is over, though one of them sends
		{Activity{900, 900, 101}, false},
		{Activity{900, 900, 101}, false}, // now it does not, but it may be a slow camera
		{Activity{900, 900, 101}, true},  // it has stopped
		{Activity{900, 900, 101}, false},
		{Activity{899, 900, 101}, true}, // one has ended
		{Activity{899, 900, 101}, false},
		{Activity{900, 901, 101}, false}, // one comes
		{Activity{900, 901, 102}, false}, // and sends: that is no crowd
	}
	synctest.Test(t, func(t *testing.T) {
		interval := -1
		var released []int
		r := &MemoryReleaser{
			activity: func() Activity { interval++; return steps[interval].activity },
			release:  func() { released = append(released, interval) },
			stop:     make(chan struct{}), done: make(chan struct{}),
		}
		go r.run()
		time.Sleep(time.Duration(len(steps))*releaseInterval + releaseInterval/2)
		r.Close()
		var want []int
		for i, s := range steps {
			if s.release {
				want = append(want, i)
			}
		}
		if !slices.Equal(released, want) {
			t.Errorf("released in intervals %v, want %v", released, want)
		}
	})
}
