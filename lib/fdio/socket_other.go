//go:build !linux

package fdio

// Socket does not exist here, as there are no Conns.
type Socket struct{}

// Socket returns nil.
func (*Conn) Socket() *Socket { return nil }

// TryWrite writes nothing.
func (*Socket) TryWrite([]byte) int { return 0 }
