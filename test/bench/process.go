package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is one program at work.
type process struct {
	cmd    *exec.Cmd
	stderr *os.File
	done   chan struct{}
}

// spawn starts a program with the given standard input and output (nil: none), and more files from descriptor 3 on.
// The files are closed here when the program has them.
func (b *bench) spawn(stdin, stdout *os.File, more []*os.File, name string, args ...string) (*process, error) {
	if b.limit != nil {
		prefix := b.limit.prefix
		name, args = prefix[0], slices.Concat(prefix[1:], []string{name}, args)
	}
	cmd := exec.Command(name, args...)
	// For the copy of the relay that records, which lies elsewhere.
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(b.node, "node_modules"))
	cmd.Dir = b.work
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.ExtraFiles = more
	log, err := os.CreateTemp(b.work, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	err = cmd.Start()
	for _, f := range append([]*os.File{stdin, stdout}, more...) {
		if f != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stderr: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is of no interest: what arrived is
		close(p.done)
	}()
	return p, nil
}

// cpu returns the time that the process has used, user and system, to the nanosecond: its CPU-time clock, whose number
// is made of the process's as clock_getcpuclockid(3) does.
func (p *process) cpu() (time.Duration, error) {
	var ts unix.Timespec
	clock := int32(^p.cmd.Process.Pid)<<3 | 2
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of %s: %w", p.cmd.Path, err)
	}
	return time.Duration(ts.Nano()), nil
}

// peak returns the most memory that the process has had resident, in bytes.
func (p *process) peak() (int64, error) { return p.memory("status", "VmHWM:") }

// share returns the memory that is resident, in bytes, where each page counts for as much as its share among the
// processes that have it is.
func (p *process) share() (int64, error) { return p.memory("smaps_rollup", "Pss:") }

// total adds up a figure of processes.
func total(all []*process, figure func(*process) (int64, error)) (n int64, err error) {
	for _, p := range all {
		one, err := figure(p)
		if err != nil {
			return 0, err
		}
		n += one
	}
	return n, nil
}

// memory reads a figure of kB from a file of the process below /proc.
func (p *process) memory(file, field string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has ended", p.cmd.Path)
}

// end waits for the end of the process, for a moment if it ends by itself, and then ends it.
func (p *process) end(byItself bool) {
	if byItself {
		select {
		case <-p.done:
		case <-time.After(processTimeout):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.stderr.Close()
	_ = os.Remove(p.stderr.Name())
}

// said returns what the process wrote to standard error.
func (p *process) said() string {
	text, _ := os.ReadFile(p.stderr.Name())
	return strings.TrimSpace(string(text))
}
