//go:build linux && race

package fdio

// heed makes every call an ordinary one: these tell the race detector that a write happens before the read of what it
// wrote.
const heed = 0
