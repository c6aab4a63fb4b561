package ingest

import (
	"net/netip"
	"testing"
)

// TestCrowdOfNetworks: a crowd from more networks than connections may wait, none of which has more than one waiting,
// does not push out somebody who comes from another one, as each of its networks has come before. Who has shown a token
// counts as new.
func TestCrowdOfNetworks(t *testing.T) {
	const networks = 4 * maxWaiting
	c := connections{all: make(map[*connection]struct{})}
	conn := func(last2 int) *connection {
		return &connection{addr: netip.AddrFrom4([4]byte{198, 18, byte(last2 >> 8), byte(last2)})}
	}
	crowd := func(rounds int) (evicted map[*connection]bool) {
		evicted = make(map[*connection]bool)
		for i := range rounds * networks {
			if e, _ := c.add(conn(i % networks)); e != nil {
				evicted[e.conn] = true
			}
		}
		return evicted
	}
	crowd(2)
	for range 20 {
		newcomer := &connection{addr: netip.AddrFrom4([4]byte{192, 0, 2, 1})}
		c.add(newcomer)
		if crowd(1)[newcomer] {
			t.Fatal("the newcomer was pushed out")
		}
		c.set(newcomer, authorized)
		c.remove(newcomer)
	}
	if n := len(c.waiting); n > maxWaiting {
		t.Errorf("%d connections wait", n)
	}
	for i := range 3 * maxRecent {
		c.recent.add(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32),
			c.recent.halved)
	}
	if n := len(c.recent.counts); n > maxRecent {
		t.Errorf("%d networks are remembered", n)
	}
}
