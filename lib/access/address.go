package access

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Proxies are those whose word counts about whom a request comes from.
type Proxies []netip.Prefix

// ParseProxy reads a value of --trusted-proxy: an address, or addresses as 10.0.0.0/8.
func ParseProxy(value string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(value); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a range such as 10.0.0.0/8", value)
	}
	return prefix.Masked(), nil
}

func (p Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// Peer returns the address of a connection's other end. limited says that it counts for a limit on connections per
// address: proxies that are trusted, unix sockets and the machine itself do not.
func (p Proxies) Peer(remote net.Addr) (addr netip.Addr, limited bool) {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	addr = tcp.AddrPort().Addr().Unmap().WithZone("")
	return addr, !addr.IsLoopback() && !p.trusts(addr)
}

// Client returns the address of whom a request comes from: that of the connection, or if it is a trusted proxy's, the
// right-most one in X-Forwarded-For that is not a trusted proxy's. What stands to the left of that can be invented.
func (p Proxies) Client(remote net.Addr, h http.Header) (addr netip.Addr, limited bool) {
	addr, limited = p.Peer(remote)
	if !addr.IsValid() || !p.trusts(addr) {
		return addr, limited
	}
	hops := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, ok := forwardedAddr(strings.TrimSpace(hop))
		if !ok {
			return addr, false // what a trusted proxy does not know
		}
		if addr = next; !p.trusts(addr) {
			return addr, true
		}
	}
	return addr, false
}

// forwardedAddr reads an element of X-Forwarded-For. Some proxies add the port.
func forwardedAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

// Network is what one client can be expected to have for itself: an IPv4 address, or the 64 bits of IPv6 that are given
// to a customer.
func Network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // the zero address has none, and that is a network too
	return network
}

// PerAddress counts what each network has open. It is safe for concurrent use.
type PerAddress struct {
	max int // 0: any number

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// NewPerAddress allows max for each network; 0 allows any number.
func NewPerAddress(max int) *PerAddress {
	return &PerAddress{max: max, open: map[netip.Prefix]int{}}
}

// Enter counts one more for the address, and reports whether that is allowed. If so, Leave must follow.
func (p *PerAddress) Enter(addr netip.Addr) bool {
	network := Network(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.max > 0 && p.open[network] >= p.max {
		return false
	}
	p.open[network]++
	return true
}

// Leave undoes an Enter that was allowed.
func (p *PerAddress) Leave(addr netip.Addr) {
	network := Network(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[network]--; p.open[network] <= 0 {
		delete(p.open, network)
	}
}

// Most returns the network that has the most open, and how many that are.
func (p *PerAddress) Most() (network netip.Prefix, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, count := range p.open {
		if count > open {
			network, open = n, count
		}
	}
	return network, open
}
