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
		{Activity{900, 900, 101}, true}, // now it does not
		{Activity{900, 900, 101}, false},
		{Activity{899, 900, 101}, true}, // one has ended
		{Activity{899, 900, 101}, false},
	}
	synctest.Test(t, func(t *testing.T) {
		second := -1
		var released []int
		r := &MemoryReleaser{
			activity: func() Activity { second++; return steps[second].activity },
			release:  func() { released = append(released, second) },
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
			t.Errorf("released in seconds %v, want %v", released, want)
		}
	})
}
