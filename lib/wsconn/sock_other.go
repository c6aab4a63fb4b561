//go:build !linux

package wsconn

import "net"

// SetNotsentLowat is for Linux.
func SetNotsentLowat(net.Conn, int) {}

func acked(net.Conn) (n uint64, ok bool) { return 0, false }
