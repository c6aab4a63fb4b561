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

// finalizer turns segments into finished files, one after the other. It has its own goroutine, because a sync can take
// seconds and the writer must go on meanwhile.
type finalizer struct {
	template  *Template
	disk      disk
	queue     *stream.Queue
	account   *stream.Account
	manifest  *manifest // may be nil
	playlist  *playlist // may be nil
	archive   *archive
	hook      *hook // may be nil
	log       *slog.Logger
	throttled Logger
	live      bool

	jobs chan job
	done chan struct{}

	mu     sync.Mutex
	failed error // errors since the last call of failure

	// The fields below belong to the goroutine.

	cancel context.CancelCauseFunc
	// confirmBlocked is set after a segment was lost. Nothing after it can be confirmed until the queue has been
	// requeued.
	confirmBlocked bool
	// recoverLater is set while an unfinished file of this run waits for the disk to work again.
	recoverLater bool
	// lostSegment is set if a segment after the last line of the manifest was lost. unreportedDrops counts the bytes
	// that were dropped in and before segments without a line. The next line reports both.
	lostSegment      bool
	unreportedDrops  int64
	recorded         stream.Recorded
	lastWanted       string // the last wanted name, without a number
	lastNumber       int    // the number that it got
	lastSyncedFolder string // the last directory whose parents were synced
}

// job is a segment to finalize. With ack it is no segment: the finalizer closes ack when it has done all jobs before.
type job struct {
	segment *segment
	err     error // why the segment can only be left unfinished
	ack     chan struct{}
	reset   bool // with ack: the caller will requeue what was lost
}

// maxQueuedSegments is how many segments may wait for the finalizer before the writer blocks.
const maxQueuedSegments = 8

// start starts the goroutine; close ends it. The finalizer calls cancel when the recording must not go on.
func (f *finalizer) start(cancel context.CancelCauseFunc) {
	f.cancel = cancel
	f.jobs, f.done = make(chan job, maxQueuedSegments), make(chan struct{})
	go f.run()
}

// finish queues a segment to be finalized.
func (f *finalizer) finish(s *segment) { f.jobs <- job{segment: s} }

// setAside queues a segment that cannot be finalized now. It stays under its temporary name.
func (f *finalizer) setAside(s *segment, err error) { f.jobs <- job{segment: s, err: err} }

// drainAndReset waits for all queued segments. The caller must requeue what was lost.
func (f *finalizer) drainAndReset() { f.wait(job{reset: true}) }

// drain waits for all queued segments.
func (f *finalizer) drain() { f.wait(job{}) }

func (f *finalizer) wait(j job) {
	j.ack = make(chan struct{})
	f.jobs <- j
	<-j.ack
}

// close ends the goroutine after all queued segments, and returns the errors that failure has not returned yet.
func (f *finalizer) close() error {
	close(f.jobs)
	<-f.done
	return f.failure()
}

// failure returns the errors since the last call.
func (f *finalizer) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.failed
	f.failed = nil
	return err
}

func (f *finalizer) fail(err error) {
	f.mu.Lock()
	f.failed = errors.Join(f.failed, err)
	f.mu.Unlock()
	if !f.live {
		f.cancel(err)
	}
}

// housekeepInterval is how often retention is enforced apart from each finished file: files grow older, and the open
// file and other programs fill the disk.
const housekeepInterval = time.Second

func (f *finalizer) run() {
	defer close(f.done)
	f.account.SetRecorded(f.recorded)
	f.loadExisting()
	f.recoverPartials()
	f.housekeep()
	var due <-chan time.Time
	if f.archive.rules.Age > 0 || f.archive.rules.MinFree > 0 {
		ticker := time.NewTicker(housekeepInterval)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-due:
			f.housekeep()
		case j, ok := <-f.jobs:
			if !ok {
				if f.recoverLater {
					f.recoverPartials()
				}
				f.endPlaylist()
				return
			}
			f.do(j)
		}
	}
}

func (f *finalizer) do(j job) {
	if j.ack != nil {
		f.confirmBlocked = f.confirmBlocked && !j.reset
		close(j.ack)
		return
	}
	f.unreportedDrops += j.segment.dropped
	if f.recoverLater && j.err == nil && !j.segment.empty() {
		f.recoverLater = false
		f.recoverPartials() // before the next file, so that the manifest keeps the order of the stream
	}
	err := j.err
	if err == nil {
		err = f.finalize(j.segment)
	}
	// The lock tells other recorders that this one will index the file, so the file is closed last.
	if cerr := j.segment.file.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close %s: %w", j.segment.path, cerr)
	}
	if err != nil {
		f.confirmBlocked, f.recoverLater = true, true
		f.lostSegment = f.lostSegment || j.err != nil
		f.fail(err)
	}
	f.housekeep()
}

// housekeep enforces retention, and updates the playlist and the manifest.
func (f *finalizer) housekeep() {
	f.archive.enforce()
	f.unlistDeleted()
	if f.playlist != nil {
		if err := f.writeMakingRoom(f.playlist.path, f.playlist.flush); err != nil {
			f.throttled.Warn("playlist", "playlist not written; the next file will retry", "err", err)
		}
	}
	if f.manifest != nil {
		if err := f.manifest.compact(f.archive.count()); err != nil {
			f.throttled.Warn("manifest", "manifest not compacted", "err", err)
		}
	}
}

// unlistDeleted removes deleted files from the playlist, and marks their lines of the manifest.
func (f *finalizer) unlistDeleted() {
	removed := f.archive.takeRemoved()
	if f.playlist != nil {
		for _, name := range removed {
			f.playlist.remove(filepath.Join(f.template.folder, name))
		}
	}
	if f.manifest != nil {
		f.manifest.markDeleted(removed)
	}
}

// writeMakingRoom calls write, which writes the file of a path. While the disk is full, it deletes the oldest recording
// and tries again, but only if the file is on the recordings' disk.
func (f *finalizer) writeMakingRoom(path string, write func() error) error {
	err := write()
	for isFull(err) && sameDisk(filepath.Dir(path), f.template.folder) && f.archive.makeRoom() {
		f.unlistDeleted()
		err = write()
	}
	return err
}

// endPlaylist writes the playlist with its end.
func (f *finalizer) endPlaylist() {
	f.housekeep()
	if f.playlist == nil {
		return
	}
	if err := f.writeMakingRoom(f.playlist.path, func() error { return f.playlist.write(true) }); err != nil {
		f.fail(err)
	}
}
