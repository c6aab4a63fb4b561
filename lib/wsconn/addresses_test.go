package wsconn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// addresses is a name with addresses, of which some are dead and some refuse.
type addresses struct {
	found []string
	dial  map[string]string // address: "dead", "refused", "late"; else it answers

	mu    sync.Mutex
	tried []string
}

func (a *addresses) dialer() *nameDialer {
	lookup := func(context.Context, string, string) (all []netip.Addr, err error) {
		for _, s := range a.found {
			all = append(all, netip.MustParseAddr(s))
		}
		return all, nil
	}
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		a.mu.Lock()
		a.tried = append(a.tried, host)
		a.mu.Unlock()
		switch a.dial[host] {
		case "dead":
			<-ctx.Done()
			return nil, ctx.Err()
		case "refused":
			return nil, errors.New(host + " refused")
		case "late":
			time.Sleep(2 * attemptDelay)
		}
		near, _ := net.Pipe()
		return &addressConn{near, host}, nil
	}
	return &nameDialer{lookup, dial}
}

type addressConn struct {
	net.Conn
	host string
}

// TestDeadAddresses: a dead address costs a quarter of a second, one that refuses nothing, and the families take turns.
func TestDeadAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		*addresses
		want string
		took time.Duration
	}{
		"one": {&addresses{found: []string{"192.0.2.1"}}, "192.0.2.1", 0},
		"dead first": {&addresses{found: []string{"192.0.2.1", "192.0.2.2"},
			dial: map[string]string{"192.0.2.1": "dead"}},
			"192.0.2.2", attemptDelay},
		"refused first": {&addresses{found: []string{"192.0.2.1", "192.0.2.2"},
			dial: map[string]string{"192.0.2.1": "refused"}}, "192.0.2.2", 0},
		"IPv6 dead": {&addresses{
			found: []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"},
			dial:  map[string]string{"2001:db8::1": "dead", "2001:db8::2": "dead", "2001:db8::3": "dead"},
		}, "192.0.2.1", attemptDelay},
		"mapped": {&addresses{found: []string{"::ffff:192.0.2.1"}}, "192.0.2.1", 0},
		"two late": {&addresses{found: []string{"192.0.2.1", "192.0.2.2"},
			dial: map[string]string{"192.0.2.1": "late", "192.0.2.2": "late"}}, "192.0.2.1", 2 * attemptDelay},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				conn, err := c.dialer().DialContext(t.Context(), "tcp", "relay.test:80")
				if err != nil {
					t.Fatal(err)
				}
				if got := conn.(*addressConn).host; got != c.want {
					t.Errorf("connected to %s, want %s", got, c.want)
				}
				// Late connections are waited for, and closed.
				if took := time.Since(began); took != c.took && name != "two late" {
					t.Errorf("it took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// TestAllAddressesFail: the error is that of the first address that failed; the time limit is that of the dial.
func TestAllAddressesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &addresses{found: []string{"2001:db8::1", "2001:db8::2", "192.0.2.1"},
			dial: map[string]string{"2001:db8::1": "refused", "2001:db8::2": "refused", "192.0.2.1": "refused"}}
		_, err := a.dialer().DialContext(t.Context(), "tcp", "relay.test:80")
		if err == nil || !strings.Contains(err.Error(), "2001:db8::1 refused") {
			t.Error(err)
		}
		if want := []string{"2001:db8::1", "192.0.2.1", "2001:db8::2"}; !slices.Equal(a.tried, want) {
			t.Errorf("tried %v, want %v", a.tried, want)
		}
		a.dial["192.0.2.1"] = "dead"
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.dialer().DialContext(ctx, "tcp", "relay.test:80"); err == nil || ctx.Err() == nil {
			t.Error(err, ctx.Err())
		}
	})
}
