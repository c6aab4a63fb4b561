package record

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// hook runs a command for each finished file, one at a time. Only the end of a recording waits for it.
type hook struct {
	command   string
	output    *os.File // gets the command's output; nil discards it
	throttled Logger

	jobs chan hookJob
	done chan struct{}
	// ctx ends when there is no time left. Then the running command is killed and no other is started.
	ctx  context.Context
	kill context.CancelFunc
}

type hookJob struct {
	file string
	env  []string
}

// maxQueuedHooks is how many files may wait for the command. For more it is not run.
const maxQueuedHooks = 64

// start starts the goroutine; close ends it.
func (h *hook) start() {
	h.ctx, h.kill = context.WithCancel(context.Background())
	h.jobs, h.done = make(chan hookJob, maxQueuedHooks), make(chan struct{})
	go h.run()
}

// close waits until the command has run for all queued files or was killed.
func (h *hook) close() {
	close(h.jobs)
	<-h.done
	h.kill()
}

// add queues a file. It does not block.
func (h *hook) add(name string, e *Entry, length int64) {
	select {
	case h.jobs <- hookJob{name, environment(name, e, length)}:
	default:
		h.throttled.Warn("hook", "the command of --exec is too slow; it is not run for a file", "file", name)
	}
}

func environment(name string, e *Entry, length int64) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		"VW_FILE=" + name,
		"VW_BYTES=" + number(e.Bytes),
		"VW_PACKETS=" + number(e.Packets),
		"VW_FRAMES=" + number(e.Frames),
		"VW_KEYFRAMES=" + number(e.Keyframes),
		"VW_DURATION=" + seconds(length),
		"VW_REASON=" + string(e.Reason),
		"VW_SHA256=" + e.SHA256,
		"VW_START=" + e.Start.Format(time.RFC3339Nano),
		"VW_END=" + e.End.Format(time.RFC3339Nano),
		"VW_DROPPED=" + number(e.Dropped),
		"VW_GAPS=" + number(e.Gaps),
	}
}

// seconds formats a length in units of 1/90000 s as seconds.
func seconds(length int64) string {
	const rate = mpegts.ClockRate
	return fmt.Sprintf("%d.%06d", length/rate, length%rate*1e6/rate)
}

func (h *hook) run() {
	defer close(h.done)
	left := 0
	for j := range h.jobs {
		if h.ctx.Err() != nil {
			left++
			continue
		}
		if err := h.runOne(j); err != nil {
			h.throttled.Warn("hook", "the command of --exec failed", "file", j.file, "err", err)
		}
	}
	if left > 0 {
		h.throttled.Warn("hook", "no time left to run the command of --exec", "files", left)
	}
}

// runOne runs the command for a file, in a process group of its own: Ctrl-C must not reach it, and killing the group
// ends everything that it has started.
func (h *hook) runOne(j hookJob) error {
	cmd := exec.Command("/bin/sh", "-c", h.command)
	cmd.Env = append(cmd.Environ(), j.env...)
	if h.output != nil {
		cmd.Stdout, cmd.Stderr = h.output, h.output
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	killed := context.AfterFunc(h.ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !killed() && err != nil {
		return fmt.Errorf("killed at the end of the recording: %w", err)
	}
	return err
}
