package natspipe

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
)

// message is what a source gets.
type message struct {
	data []byte
	seq  uint64 // of JetStream; 0: none
}

// source is a run of messages as a reader reads it: nothing is missing in it.
type source struct {
	messages chan message // closed at the end of the run
	splice   bool         // another run came before
	missing  int64        // bytes between the two
	current  message      // what is left of the message that is being read; the reader's

	mu       sync.Mutex
	deadline time.Time
	changed  wake.Signal // the deadline
}

func newSource(splice bool, missing int64) *source {
	return &source{messages: make(chan message), splice: splice, missing: missing, changed: wake.New()}
}

// Read reads from the next message, of which it waits for one until the deadline.
func (s *source) Read(p []byte) (int, error) {
	for len(s.current.data) == 0 {
		s.mu.Lock()
		deadline := s.deadline
		s.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return 0, os.ErrDeadlineExceeded
			}
			t := time.NewTimer(left)
			defer t.Stop()
			expired = t.C
		}
		select {
		case m, ok := <-s.messages:
			if !ok {
				return 0, io.EOF
			}
			s.current = m
		case <-expired:
		case <-s.changed:
		}
	}
	n := copy(p, s.current.data)
	s.current.data = s.current.data[n:]
	return n, nil
}

// SetReadDeadline ends a Read that waits at t.
func (s *source) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	s.changed.Set()
	return nil
}
