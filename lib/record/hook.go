package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/internal/childenv"
	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/mpegts"
)

// hook runs a command for each finished file. Of those that are due the oldest goes first. With retries it runs the
// command again for a file until it succeeds, so that one file blocks no other. Only the end of a recording waits for
// it.
type hook struct {
	command   string
	output    *os.File      // gets the command's output; nil discards it
	jobs      int           // how many commands may run at once
	timeout   time.Duration // how long one may run; 0: any
	retries   bool
	archive   *archive
	throttled Logger
	run       func(ctx context.Context, e *execution) error // for tests

	// results has a value for each command that has succeeded, for each file that is gone, and for each whose command
	// was running when it was dropped. It is closed when there will be no more.
	results chan commandResult
	ctx     context.Context // ends when there is no time left: running commands are killed, and no other is started
	wake    wake.Signal

	mu       sync.Mutex
	waiting  []*execution // oldest first, running ones included
	running  int
	finished bool // no more files come
}

// execution is a file for which the command has not succeeded yet.
type execution struct {
	path   string
	entry  Entry
	length int64 // in units of 1/90000 s

	pauses    *backoff.Backoff // nil before the first failure
	due       time.Time
	isRunning bool
	isDropped bool // while it was running
}

// commandResult says what became of the command for a file.
type commandResult struct {
	path    string
	key     fileKey
	outcome outcome
}

type outcome int

const (
	succeeded outcome = iota
	failed            // and is not run again, because the file was deleted
	gone              // the file was, before the command ran
)

const (
	// maxQueuedHooks is how many files may wait if nothing is tried again. For more the command is not run.
	maxQueuedHooks = 64
	// Bounds of the pause before the command is run again for a file.
	minRetry = time.Second
	maxRetry = 5 * time.Minute
)

func newHook(c *Config, a *archive) *hook {
	return &hook{
		command: c.Exec, output: c.ExecOutput, jobs: max(c.ExecJobs, 1), timeout: c.ExecTimeout,
		retries: c.Manifest != "", archive: a, throttled: c.Throttled,
		results: make(chan commandResult), wake: wake.New(),
	}
}

// start starts the goroutine, which ends after finish, or when ctx ends.
func (h *hook) start(ctx context.Context) {
	h.ctx = ctx
	if h.run == nil {
		h.run = h.runCommand
	}
	go h.schedule()
}

// finish says that no more files come. The goroutine ends when no command is left to be run.
func (h *hook) finish() {
	h.mu.Lock()
	h.finished = true
	h.mu.Unlock()
	h.wake.Set()
}

// add queues a file. It does not block.
func (h *hook) add(path string, e Entry, length int64) {
	h.mu.Lock()
	isFull := !h.retries && len(h.waiting) > maxQueuedHooks
	if !isFull {
		h.waiting = append(h.waiting, &execution{path: path, entry: e, length: length})
	}
	h.mu.Unlock()
	if isFull {
		h.throttled.Warn("hook", "the command of --exec is too slow; it is not run for a file", "file", path)
	}
	h.wake.Set()
}

// drop forgets a file that was deleted. It reports whether the file's command is running: then results will say how
// that ends.
func (h *hook) drop(key fileKey) (isRunning bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.waiting {
		if e.entry.key() != key {
			continue
		}
		if e.isDropped = e.isRunning; !e.isRunning {
			h.remove(e)
		}
		return e.isRunning
	}
	return false
}

// remove takes e off the list. The caller holds mu.
func (h *hook) remove(e *execution) {
	for i := range h.waiting {
		if h.waiting[i] == e {
			h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
			return
		}
	}
}

// schedule starts commands until there are no more.
func (h *hook) schedule() {
	defer close(h.results)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		pause, isOver := h.startDue()
		if isOver {
			return
		}
		timer.Reset(pause)
		select {
		case <-h.wake:
		case <-timer.C:
		case <-h.ctx.Done():
			h.awaitKilled()
			return
		}
	}
}

// startDue starts the commands that are due, and returns how long it is until the next is; or that none will be.
func (h *hook) startDue() (pause time.Duration, isOver bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	pause = time.Hour
	for _, e := range h.waiting {
		if h.running == h.jobs {
			break
		}
		switch {
		case e.isRunning:
		case e.due.After(now):
			pause = min(pause, e.due.Sub(now))
		default:
			e.isRunning = true
			h.running++
			go h.execute(e)
		}
	}
	return pause, h.finished && h.running == 0 && len(h.waiting) == 0
}

// awaitKilled waits for the commands that are being killed, and logs what is left.
func (h *hook) awaitKilled() {
	for {
		h.mu.Lock()
		running, left := h.running, len(h.waiting)
		h.mu.Unlock()
		if running == 0 {
			if left > 0 {
				h.throttled.Warn("hook", "no time left to run the command of --exec", "files", left)
			}
			return
		}
		<-h.wake
	}
}

// execute runs the command for a file, and reports its result unless it will run again.
func (h *hook) execute(e *execution) {
	var err error
	r := commandResult{path: e.path, key: e.entry.key()}
	if _, serr := os.Lstat(e.path); errors.Is(serr, os.ErrNotExist) {
		r.outcome = gone
	} else {
		h.archive.setRunning(e.path, true)
		err = h.run(h.ctx, e)
		h.archive.setRunning(e.path, false)
	}
	if err != nil {
		h.throttled.Warn("hook", "the command of --exec failed", "file", e.path, "err", err)
	}
	if err != nil {
		r.outcome = failed
	}
	h.mu.Lock()
	switch isOver := err == nil || e.isDropped; {
	case isOver:
		h.mu.Unlock()
		h.results <- r // the finalizer takes it until results is closed; before that, drop must find e
		h.mu.Lock()
		h.remove(e)
	case h.retries:
		if e.pauses == nil {
			e.pauses = backoff.New(minRetry, maxRetry)
		}
		e.due = time.Now().Add(e.pauses.Next())
	default:
		h.remove(e)
	}
	e.isRunning = false
	h.running--
	h.mu.Unlock()
	h.wake.Set()
}

// runCommand runs the command for a file, in a process group of its own: Ctrl-C must not reach it, and killing the
// group ends everything that it has started.
func (h *hook) runCommand(ctx context.Context, e *execution) error {
	if h.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.timeout)
		defer cancel()
	}
	cmd := exec.Command("/bin/sh", "-c", h.command)
	cmd.Env = append(childenv.Filter(cmd.Environ()), environment(e)...)
	if h.output != nil {
		cmd.Stdout, cmd.Stderr = h.output, h.output
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	killed := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	switch {
	case killed() || err == nil:
		return err
	case h.ctx.Err() != nil:
		return fmt.Errorf("killed at the end of the recording: %w", err)
	}
	return fmt.Errorf("killed after %v: %w", h.timeout, err)
}

func environment(e *execution) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	l := &e.entry
	return []string{
		"VW_FILE=" + e.path,
		"VW_BYTES=" + number(l.Bytes),
		"VW_PACKETS=" + number(l.Packets),
		"VW_FRAMES=" + number(l.Frames),
		"VW_KEYFRAMES=" + number(l.Keyframes),
		"VW_DURATION=" + seconds(e.length),
		"VW_REASON=" + string(l.Reason),
		"VW_SHA256=" + l.SHA256,
		"VW_START=" + l.Start.Format(time.RFC3339Nano),
		"VW_END=" + l.End.Format(time.RFC3339Nano),
		"VW_DROPPED=" + number(l.Dropped),
		"VW_GAPS=" + number(l.Gaps),
	}
}

// seconds formats a length in units of 1/90000 s as seconds.
func seconds(length int64) string {
	const rate = mpegts.ClockRate
	return fmt.Sprintf("%d.%06d", length/rate, length%rate*1e6/rate)
}
