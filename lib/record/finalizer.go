package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

	jobs  chan job
	done  chan struct{} // closed when all files are finished
	ended chan struct{} // closed when rebuilding and commands have ended, too
	// background ends when there is no more time for these; stop ends it.
	background context.Context
	stop       context.CancelFunc

	mu     sync.Mutex
	failed error // errors since the last call of failure

	finalizerState
}

// finalizerState belongs to the finalizer's goroutine.
type finalizerState struct {
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
	states           map[fileKey]ExecState // what the manifest said of commands for files without an entry
	undecided        map[fileKey]bool      // files that were deleted while their command was running
	rebuilt          <-chan rebuilt        // brings files whose lines were lost; nil: no rebuild runs
	rebuiltLines     int
	lastWanted       string // the last wanted name, without a number
	lastNumber       int    // the number that it got
	lastSyncedFolder string // the last directory whose parents were synced
	unsynced         []unsynced
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
	f.jobs = make(chan job, maxQueuedSegments)
	f.undecided = make(map[fileKey]bool)
	if f.hook != nil {
		f.hook.start(f.background)
	}
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

// close waits for all queued segments, and returns the errors that failure has not returned yet. The goroutine goes on,
// until ended is closed, with what may take longer.
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
	defer close(f.ended)
	f.account.SetRecorded(f.recorded)
	f.loadExisting()
	f.recoverPartials()
	f.housekeep()
	var due <-chan time.Time
	if f.archive.changesByItself() {
		ticker := time.NewTicker(housekeepInterval)
		defer ticker.Stop()
		due = ticker.C
	}
	var commands <-chan commandResult
	if f.hook != nil {
		commands = f.hook.results
	}
	for jobs := f.jobs; jobs != nil || f.rebuilt != nil || commands != nil; {
		select {
		case <-due:
			f.housekeep()
		case j, ok := <-jobs:
			if ok {
				f.do(j)
				break
			}
			jobs = nil
			f.finishFiles()
			close(f.done)
		case r, ok := <-f.rebuilt:
			f.addRebuilt(r, ok)
		case r, ok := <-commands:
			if !ok {
				commands = nil
				break
			}
			f.commandEnded(r)
		}
		if jobs == nil && f.rebuilt == nil && f.hook != nil {
			f.hook.finish()
		}
	}
	f.housekeep()
}

// finishFiles does what is left when there are no more segments.
func (f *finalizer) finishFiles() {
	f.indexUnsynced()
	if f.recoverLater {
		f.recoverPartials()
	}
	f.housekeep()
	if f.manifest != nil && !f.manifest.isWritten() {
		if err := f.writeMakingRoom(f.manifest.path, f.manifest.flush); err != nil && !f.live {
			f.fail(err)
		}
	}
	f.endPlaylist()
}

func (f *finalizer) do(j job) {
	if j.ack != nil {
		f.confirmBlocked = f.confirmBlocked && !j.reset
		close(j.ack)
		return
	}
	f.unreportedDrops += j.segment.dropped
	f.indexUnsynced() // before the next file, as below
	if f.recoverLater && j.err == nil && !j.segment.empty() {
		f.recoverLater = false
		f.recoverPartials() // before the next file, so that the manifest keeps the order of the stream
	}
	err := j.err
	if err == nil {
		err = f.finalize(j.segment)
	}
	// The lock shows other recorders that this one will index the file, so the file is closed last.
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
