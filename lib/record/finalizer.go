package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// finisher makes segments files: synced, named, confirmed and listed, one after the other. It has a goroutine of its
// own, because a sync can take seconds and the next segment is to be written meanwhile.
type finisher struct {
	template *Template
	disk     disk
	queue    *stream.Queue
	account  *stream.Account
	manifest *manifest // nil: none
	playlist *playlist // nil: none
	archive  *archive
	hook     *hook // nil: none
	log      *slog.Logger
	trouble  Logger
	live     bool

	jobs chan job
	done chan struct{}

	mu     sync.Mutex
	failed error // what has gone wrong since failure was last asked

	// The rest is for the goroutine.

	cancel context.CancelCauseFunc
	// broken: a segment was lost. Nothing behind it can be confirmed until the queue has been told.
	broken bool
	// again: a file was left under its temporary name, to be kept when the disk works again.
	again bool
	// hole: what stood behind the last line of the manifest was lost. untold is what was dropped in and in front of
	// segments without a line of their own. The next line tells of both.
	hole     bool
	untold   int64
	recorded stream.Recorded
	wanted   string // the last name, without a number
	number   int    // the number that it got
	folder   string // the last one whose parents were synced
}

// job is a segment to finish; or with ack only the wish to know when all before it are done.
type job struct {
	segment *segment
	err     error // why the segment can only be left as it is
	ack     chan struct{}
	anew    bool // with ack: the queue will be told of what was lost
}

// waitingSegments is how many segments may wait for the finisher before the writer does.
const waitingSegments = 8

// start starts the goroutine; close ends it. cancel is called when the recording must not go on.
func (f *finisher) start(cancel context.CancelCauseFunc) {
	f.cancel = cancel
	f.jobs, f.done = make(chan job, waitingSegments), make(chan struct{})
	go f.run()
}

// finish takes a segment over.
func (f *finisher) finish(s *segment) { f.jobs <- job{segment: s} }

// abandon takes over a segment that cannot be made whole now.
func (f *finisher) abandon(s *segment, err error) { f.jobs <- job{segment: s, err: err} }

// flush waits until everything so far is done. After it the queue must be told of what was lost.
func (f *finisher) flush() { f.wait(job{anew: true}) }

// settle waits until everything so far is done.
func (f *finisher) settle() { f.wait(job{}) }

func (f *finisher) wait(j job) {
	j.ack = make(chan struct{})
	f.jobs <- j
	<-j.ack
}

// close waits until everything is done, and returns what went wrong and was not told yet.
func (f *finisher) close() error {
	close(f.jobs)
	<-f.done
	return f.failure()
}

// failure returns what has gone wrong since it was last called.
func (f *finisher) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.failed
	f.failed = nil
	return err
}

func (f *finisher) fail(err error) {
	f.mu.Lock()
	f.failed = errors.Join(f.failed, err)
	f.mu.Unlock()
	if !f.live {
		f.cancel(err)
	}
}

// tidyEvery is how often, apart from each finished file, the rules of retention are looked at: files grow older, and the
// disk may fill by the open file or by others.
const tidyEvery = time.Second

func (f *finisher) run() {
	defer close(f.done)
	f.account.SetRecorded(f.recorded)
	f.takeStock()
	f.keepLeftovers()
	f.tidy()
	var due <-chan time.Time
	if f.archive.rules.Age > 0 || f.archive.rules.MinFree > 0 {
		ticker := time.NewTicker(tidyEvery)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-due:
			f.tidy()
		case j, ok := <-f.jobs:
			if !ok {
				if f.again {
					f.keepLeftovers()
				}
				f.end()
				return
			}
			f.do(j)
		}
	}
}

func (f *finisher) do(j job) {
	if j.ack != nil {
		f.broken = f.broken && !j.anew
		close(j.ack)
		return
	}
	f.untold += j.segment.dropped
	if f.again && j.err == nil && !j.segment.empty() {
		f.again = false
		f.keepLeftovers() // now, so that the order of lines is that of the stream
	}
	err := j.err
	if err == nil {
		err = f.complete(j.segment)
	}
	// Until here the lock of the file tells other recorders that it will be entered.
	if cerr := j.segment.file.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close %s: %w", j.segment.path, cerr)
	}
	if err != nil {
		f.broken, f.again = true, true
		f.hole = f.hole || j.err != nil
		f.fail(err)
	}
	f.tidy()
}

// tidy deletes what retention no longer keeps, and what was told of that.
func (f *finisher) tidy() {
	f.archive.enforce()
	f.forget()
	if f.playlist != nil {
		if err := f.roomFor(f.playlist.path, f.playlist.flush); err != nil {
			f.trouble.Warn("playlist", "playlist not written; it will be, with the next file", "err", err)
		}
	}
	if f.manifest != nil {
		if err := f.manifest.compact(f.archive.count()); err != nil {
			f.trouble.Warn("manifest", "lines of deleted files could not be taken out", "err", err)
		}
	}
}

// forget takes deleted files out of the playlist, and has the manifest know of them.
func (f *finisher) forget() {
	removed := f.archive.takeRemoved()
	if f.playlist != nil {
		for _, name := range removed {
			f.playlist.forget(filepath.Join(f.template.folder, name))
		}
	}
	if f.manifest != nil {
		f.manifest.forget(removed)
	}
}

// roomFor writes the file of a path, and while the disk is full deletes by the rules of retention: but not for a disk that
// has no recordings on it.
func (f *finisher) roomFor(path string, write func() error) error {
	err := write()
	for isFull(err) && sameDisk(filepath.Dir(path), f.template.folder) && f.archive.makeRoom() {
		f.forget()
		err = write()
	}
	return err
}

// end ends the playlist.
func (f *finisher) end() {
	f.tidy()
	if f.playlist == nil {
		return
	}
	if err := f.roomFor(f.playlist.path, func() error { return f.playlist.write(true) }); err != nil {
		f.fail(err)
	}
}
