package cli

import (
	"os"
	"runtime"
)

// OneProcessor gives a process that runs on one processor those back that it had before, if it was GOMAXPROCS that said
// so. See package oneprocessor.
func OneProcessor(before int) {
	if os.Getenv("GOMAXPROCS") != "" {
		runtime.GOMAXPROCS(before)
	}
}
