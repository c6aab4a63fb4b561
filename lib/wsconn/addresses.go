package wsconn

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// attemptDelay is how long one address of a name may take before the next one is tried as well (RFC 8305, 5).
const attemptDelay = 250 * time.Millisecond

// nameDialer connects to a name by RFC 8305. A net.Dialer tries the addresses of one family one after the other, and
// divides the time among them: a few dead ones would use it up each time.
type nameDialer struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

func newNameDialer() *nameDialer {
	return &nameDialer{net.DefaultResolver.LookupNetIP, new(net.Dialer).DialContext}
}

// DialContext connects to host:port. The name is looked up each time, and all its addresses are tried.
func (d *nameDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return d.dial(ctx, network, addr)
	}
	found, err := d.lookup(ctx, "ip", host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var addrs []string
	for _, ip := range alternating(found) {
		addrs = append(addrs, net.JoinHostPort(ip.String(), port))
	}
	return d.dialFirst(ctx, network, addrs)
}

// alternating returns addresses in an order in which the families take turns, beginning with the first one's (RFC 8305,
// 4).
func alternating(found []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for i, ip := range found {
		ip = ip.Unmap()
		found[i] = ip
		family := 0
		if ip.Is4() != found[0].Is4() {
			family = 1
		}
		families[family] = append(families[family], ip)
	}
	all := make([]netip.Addr, 0, len(found))
	for i := range found {
		for _, family := range families {
			if i < len(family) {
				all = append(all, family[i])
			}
		}
	}
	return all
}

type attempt struct {
	conn net.Conn
	err  error
}

// dialFirst returns the first connection that is made to any of the addresses, or the error of the first that failed.
// It tries the next address when one has failed, or has taken attemptDelay.
func (d *nameDialer) dialFirst(ctx context.Context, network string, addrs []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	attempts := make(chan attempt, len(addrs))
	running := 0
	defer func() {
		cancel()
		for range running {
			if late := <-attempts; late.conn != nil {
				_ = late.conn.Close()
			}
		}
	}()
	var failed error
	next := time.NewTimer(0)
	defer next.Stop()
	for len(addrs) > 0 || running > 0 {
		select {
		case <-next.C:
			addr := addrs[0]
			addrs = addrs[1:]
			running++
			go func() {
				conn, err := d.dial(ctx, network, addr)
				attempts <- attempt{conn, err}
			}()
			if len(addrs) > 0 {
				next.Reset(attemptDelay)
			}
		case made := <-attempts:
			running--
			if made.err == nil {
				return made.conn, nil
			}
			if failed == nil {
				failed = made.err
			}
			if len(addrs) > 0 {
				next.Reset(0)
			}
		}
	}
	return nil, failed
}
