//go:build linux && race

package fdio

// maxRawCalls makes every call an ordinary one, from which the race detector learns that a write happens before the
// read of what it wrote.
const maxRawCalls = 0
