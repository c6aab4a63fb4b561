//go:build !linux

package testserver

import "net"

// hasGone always returns false: only Linux has POLLRDHUP, which reports it without reading. A fault that waits does so
// until its time is over or the server ends.
func hasGone(*net.TCPConn, bool) bool { return false }
