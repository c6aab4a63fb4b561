package test

import (
	"syscall"
	"testing"
)

// TestNATSSlowSubscriber: a subscriber that stands still until the server has cut it off, as a slow consumer, loses
// part of the stream. It says so, counts it, and goes on with a group of pictures that decodes.
func TestNATSSlowSubscriber(t *testing.T) {
	t.Parallel()
	for _, retain := range []bool{true, false} {
		c := startNATS(t, 1, "max_pending: 1MB")
		node := c.nodes[0]
		pub, name := []string{"--live", "--max-age", "30s"}, "with what is retained"
		if retain {
			pub = append(pub, "--create")
		} else {
			name = "without"
		}
		t.Run(name, func(t *testing.T) {
			s := c.carry("cam", longSample(t, "mpeg1.ts", 100), frameTime/40, pub, []string{"--live"})
			s.t = t
			s.arrivals.reaches(100_000) // ffmpeg guesses wrong times after a gap that follows one picture
			s.sub.signal(syscall.SIGSTOP)
			node.find(node.stderr, `(?i)slow consumer`)
			s.sub.signal(syscall.SIGCONT)
			s.sub.find(s.sub.stderr, "part of the stream is missing.*bytes=")
			before := size(t, s.file)
			grows(t, s.file, before+1_000_000)
			s.finish(-1)
			s.checkLive()
			// Without what is retained, the rest of the group in which it goes on is of no use.
			n := s.sub.account().Out[0].Dropped
			if n.Lost == 0 || n.Lost+n.Resync != n.Sum() || retain && n.Resync > 0 {
				t.Errorf("dropped: %+v", n)
			}
			s.sub.find(s.sub.stderr, `parts of the stream did not arrive.*gaps=[1-9]`)
		})
	}
}
