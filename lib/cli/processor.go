package cli

import (
	"os"
	"runtime"
)

// OneProcessor makes the process run Go code on one processor, unless GOMAXPROCS is set. A pipe tool spends its time in
// system calls; with one processor it wakes no idle ones, which costs less than half the CPU at camera bitrates.
func OneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
