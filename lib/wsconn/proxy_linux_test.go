package wsconn

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever lies between, the kernel's buffer is bounded, and what the other end of the TCP connection acknowledged is
// seen.
func TestSocketBelowProxies(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "https", "socks5"} {
		for _, early := range []string{"", "HTTP/1.1 103 Early Hints\r\n\r\n"} {
			addr, config := echoServer(t, "ws")
			p := startProxy(t, kind, addr, "")
			p.early = early
			c := dialed(t, "ws://example.com/", DialOptions{TLS: config, Proxy: p.through})
			before, ok := c.Acked()
			works(t, c)
			if after, _ := c.Acked(); !ok || after < before+50_000 {
				t.Errorf("%s: %d bytes were acknowledged, then %d", kind, before, after)
			}
			var limit int
			err := control(c.out.raw, func(fd int) (err error) {
				limit, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
				return err
			})
			if err != nil || limit != notsentLowat {
				t.Errorf("%s: TCP_NOTSENT_LOWAT is %d, %v", kind, limit, err)
			}
		}
	}
}
