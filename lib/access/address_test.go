package access

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	proxies := Proxies{}
	for _, value := range []string{"10.0.0.0/8", "127.0.0.1", "fd00::/8"} {
		p, err := ParseProxy(value)
		if err != nil {
			t.Fatal(err)
		}
		proxies = append(proxies, p)
	}
	for _, c := range []struct {
		remote    string // "": a unix socket
		forwarded []string
		addr      string
		limited   bool
	}{
		{remote: "192.0.2.1", addr: "192.0.2.1", limited: true},
		{remote: "::ffff:192.0.2.1", addr: "192.0.2.1", limited: true},
		{remote: "192.0.2.1", forwarded: []string{"198.51.100.1"}, addr: "192.0.2.1", limited: true}, // not trusted
		{remote: "::1", addr: "::1"},
		{remote: "127.0.0.2", forwarded: []string{"198.51.100.1"}, addr: "127.0.0.2"}, // loopback, and not trusted
		{remote: "127.0.0.1", forwarded: []string{"198.51.100.1"}, addr: "198.51.100.1", limited: true},
		{remote: "10.1.1.1", forwarded: []string{"203.0.113.9, 198.51.100.1"}, addr: "198.51.100.1", limited: true},
		{remote: "10.1.1.1", forwarded: []string{"203.0.113.9", "198.51.100.1, 10.2.2.2"}, addr: "198.51.100.1",
			limited: true},
		{remote: "10.1.1.1", forwarded: []string{"198.51.100.1:1234"}, addr: "198.51.100.1", limited: true},
		{remote: "10.1.1.1", forwarded: []string{"[2001:db8::1]:1234"}, addr: "2001:db8::1", limited: true},
		{remote: "10.1.1.1", forwarded: []string{"[2001:db8::1]"}, addr: "2001:db8::1", limited: true},
		{remote: "10.1.1.1", forwarded: []string{"198.51.100.1, unknown"}, addr: "10.1.1.1"},
		{remote: "10.1.1.1", forwarded: []string{"10.3.3.3"}, addr: "10.3.3.3"},
		{remote: "fd00::1", addr: "fd00::1"},
		{},
	} {
		var remote net.Addr = &net.UnixAddr{Net: "unix"}
		if c.remote != "" {
			remote = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.remote), 1))
		}
		addr, limited := proxies.Client(remote, http.Header{"X-Forwarded-For": c.forwarded})
		want, _ := netip.ParseAddr(c.addr)
		if addr != want || limited != c.limited {
			t.Errorf("%+v: %v, limited: %v", c, addr, limited)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "nonsense", "10.0.0.1:80"} {
		if _, err := ParseProxy(bad); err == nil {
			t.Errorf("%q is a range", bad)
		}
	}
}

func TestPerAddress(t *testing.T) {
	p := NewPerAddress(2)
	a, sameNetwork, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"),
		netip.MustParseAddr("2001:db8:0:1::1")
	if !p.Enter(a) || !p.Enter(sameNetwork) || p.Enter(a) || !p.Enter(other) {
		t.Error("two of one /64 and one of another must get in, and no third")
	}
	if network, n := p.Most(); network != netip.MustParsePrefix("2001:db8::/64") || n != 2 {
		t.Errorf("most: %v, %d", network, n)
	}
	p.Leave(a)
	if !p.Enter(sameNetwork) {
		t.Error("nobody gets in after one has left")
	}
	p.Leave(sameNetwork)
	p.Leave(sameNetwork)
	p.Leave(other)
	if len(p.open) > 0 {
		t.Errorf("left behind: %v", p.open)
	}
	unlimited := NewPerAddress(0)
	for range 1000 {
		if !unlimited.Enter(netip.Addr{}) {
			t.Fatal("a limit of 0 is one")
		}
	}
}
