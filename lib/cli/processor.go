package cli

import (
	"os"
	"runtime"
)

// RestoreGOMAXPROCS gives a process that runs on one processor those back that it had before, if it was GOMAXPROCS that
// said so. See package singleproc.
func RestoreGOMAXPROCS(before int) {
	if os.Getenv("GOMAXPROCS") != "" {
		runtime.GOMAXPROCS(before)
	}
}
