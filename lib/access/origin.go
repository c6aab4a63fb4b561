package access

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Hosts are the names by which a listener without a token may be asked for, beside IP addresses and localhost. They are
// written as in a URL: "example.org" stands for any port, "example.org:8082" for that one.
//
// A browser lets any page send requests to the machine it runs on, and to its network. Whoever owns a name can make it
// point there for a moment (DNS rebinding), and then the page's host and the listener's are the same to the browser. An
// address and localhost cannot be moved so.
type Hosts []string

// Known reports whether host, as it stands in a URL or in the Host field, is an IP address, localhost or one of h.
func (h Hosts) Known(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		return true
	}
	return h.listed(host)
}

func (h Hosts) listed(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return slices.ContainsFunc(h, func(known string) bool {
		return strings.EqualFold(known, host) || strings.EqualFold(known, name)
	})
}

// CrossOrigin reports whether a browser sends the request for a page of another host than the one it asks for, or of a
// host that is not Known. A request that no browser sends on behalf of a page is never one (RFC 6454, 7; Fetch
// Metadata).
func (h Hosts) CrossOrigin(r *http.Request) bool {
	origin := r.Header.Values("Origin")
	if len(origin) == 0 {
		return strings.EqualFold(r.Header.Get("Sec-Fetch-Site"), "cross-site")
	}
	u, err := url.Parse(origin[0])
	if len(origin) > 1 || err != nil || u.Host == "" {
		return true // "null" is what a page without a host sends
	}
	return !h.listed(u.Host) && (!strings.EqualFold(u.Host, r.Host) || !h.Known(u.Host))
}
