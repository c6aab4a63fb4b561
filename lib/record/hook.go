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

// hook runs a command for each finished file, one at a time, and nothing ever waits for it but the end of the recording.
type hook struct {
	command string
	output  *os.File // gets what the command says; nil: nobody does
	trouble Logger

	jobs chan hookJob
	done chan struct{}
	// ctx ends when there is no more time: what runs is killed, and what waits is not run.
	ctx  context.Context
	kill context.CancelFunc
}

type hookJob struct {
	file string
	env  []string
}

// waitingHooks is how many files may wait for the command. For those that come when there are more it is not run.
const waitingHooks = 64

// start starts the goroutine; close ends it.
func (h *hook) start() {
	h.ctx, h.kill = context.WithCancel(context.Background())
	h.jobs, h.done = make(chan hookJob, waitingHooks), make(chan struct{})
	go h.run()
}

// close waits until the command has run for all files that wait, or has been killed.
func (h *hook) close() {
	close(h.jobs)
	<-h.done
	h.kill()
}

// add has the command run for a file, without waiting for it.
func (h *hook) add(name string, e *Entry, length int64) {
	select {
	case h.jobs <- hookJob{name, environment(name, e, length)}:
	default:
		h.trouble.Warn("hook", "the command of --exec is too slow, and is not run for a file", "file", name)
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

// seconds is a length in units of 1/90000 s, in seconds.
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
		if err := h.runFor(j); err != nil {
			h.trouble.Warn("hook", "the command of --exec failed", "file", j.file, "err", err)
		}
	}
	if left > 0 {
		h.trouble.Warn("hook", "no time was left to run the command of --exec", "files", left)
	}
}

// runFor runs the command for a file, in a process group of its own: a Ctrl-C is not meant for it, and when it must end,
// what it has started ends too. Its signals are as a shell has them.
func (h *hook) runFor(j hookJob) error {
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
		return fmt.Errorf("there was no time for it: %w", err)
	}
	return err
}
