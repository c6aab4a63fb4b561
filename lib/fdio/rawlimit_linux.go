//go:build linux && !race

package fdio

// maxRawCalls is how many raw calls may follow each other.
const maxRawCalls = 64
