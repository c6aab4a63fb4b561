package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// limit is what all programs that a bench starts must do with.
type limit struct {
	prefix []string // of each command
	begin  func() error
	end    func() error
}

// oneCore lets programs run on the machine's last processor only.
func oneCore() (*limit, error) {
	nothing := func() error { return nil }
	return &limit{[]string{"taskset", "-c", strconv.Itoa(runtime.NumCPU() - 1)}, nothing, nothing}, nil
}

// cpuPeriod is the time in which a group may use its part, as systemd's CPUQuota has it.
const cpuPeriod = 100 * time.Millisecond

// partOfCore gives all programs together, from begin on, so many hundredths of a core. It needs root.
func partOfCore(percent int) (*limit, error) {
	parent, file, format := "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "%d"
	if controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil { // version 2
		if !strings.Contains(string(controllers), "cpu") {
			return nil, errors.New("there is no control group for CPU time")
		}
		parent, file, format = "/sys/fs/cgroup", "cpu.max", fmt.Sprintf("%%d %d", cpuPeriod.Microseconds())
		if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
			return nil, err
		}
	}
	group := filepath.Join(parent, fmt.Sprintf("vw-bench-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		return nil, err
	}
	quota := fmt.Appendf(nil, format, cpuPeriod.Microseconds()*int64(percent)/100)
	return &limit{
		prefix: []string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(group, "cgroup.procs")},
		begin:  func() error { return os.WriteFile(filepath.Join(group, file), quota, 0) },
		end: func() (err error) {
			// The kernel takes a moment to forget processes that have ended.
			for began := time.Now(); time.Since(began) < processTimeout; time.Sleep(10 * time.Millisecond) {
				if err = os.Remove(group); err == nil {
					return nil
				}
			}
			return err
		},
	}, nil
}
