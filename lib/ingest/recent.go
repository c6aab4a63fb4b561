package ingest

import (
	"net/netip"
	"time"
)

const (
	// maxRecent is how many networks are remembered.
	maxRecent = 16384
	// recentHalf is the time in which an old connection comes to count half.
	recentHalf = 10 * time.Second
)

// recent counts the connections that each network has opened lately, but for those before it has shown a token. Of a
// crowd from many networks each has few connections open, but each comes again; a publisher comes once.
type recent struct {
	counts map[netip.Prefix]int
	halved time.Time
}

func (r *recent) add(network netip.Prefix, now time.Time) {
	if r.counts == nil {
		r.counts = make(map[netip.Prefix]int)
	}
	if now.Sub(r.halved) > recentHalf || len(r.counts) >= maxRecent {
		r.halved = now
		for network, n := range r.counts {
			if r.counts[network] = n / 2; n < 2 {
				delete(r.counts, network)
			}
		}
	}
	r.counts[network]++
}

// forget is called for a network that has shown a token.
func (r *recent) forget(network netip.Prefix) { delete(r.counts, network) }
