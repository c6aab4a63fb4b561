package record

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// syncer syncs the open segment at intervals, so that a power cut costs no more than one interval. It has its own
// goroutine, because a sync can take seconds and the writer must go on meanwhile.
type syncer struct {
	every time.Duration // 0: never

	mu   sync.Mutex
	open *segment // may be nil

	end, done chan struct{}
}

// start starts the goroutine; close ends it.
func (y *syncer) start() {
	y.end, y.done = make(chan struct{}), make(chan struct{})
	go y.run()
}

func (y *syncer) close() {
	close(y.end)
	<-y.done
}

// set sets the open segment.
func (y *syncer) set(s *segment) {
	y.mu.Lock()
	y.open = s
	y.mu.Unlock()
}

func (y *syncer) run() {
	defer close(y.done)
	if y.every == 0 {
		return
	}
	ticker := time.NewTicker(y.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-y.end:
			return
		}
		y.mu.Lock()
		s := y.open
		y.mu.Unlock()
		if s != nil {
			s.syncData()
		}
	}
}

// syncData syncs the data written so far. It keeps an error, because the kernel reports each only once.
func (s *segment) syncData() {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	err := s.file.SyncData()
	if err != nil && s.notSynced == nil && !errors.Is(err, fs.ErrClosed) {
		s.notSynced = err
	}
}

// sync syncs the segment. It fails if any sync of it has failed.
func (s *segment) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.notSynced == nil {
		s.notSynced = s.file.Sync()
	}
	if s.notSynced != nil {
		return fmt.Errorf("sync %s: %w", s.path, s.notSynced)
	}
	return nil
}

// check fails if the segment can no longer become a finished file.
func (s *segment) check() error {
	if s.syncing.TryLock() {
		err := s.notSynced
		s.syncing.Unlock()
		if err != nil {
			return fmt.Errorf("sync %s: %w", s.path, err)
		}
	}
	if err := s.file.Check(); err != nil {
		return fmt.Errorf("record to %s: the file is gone: %w", s.path, err)
	}
	return nil
}
