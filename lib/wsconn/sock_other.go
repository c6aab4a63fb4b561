//go:build !linux

package wsconn

import "net"

func setNotsentLowat(net.Conn) {}

func acked(net.Conn) (n uint64, ok bool) { return 0, false }
