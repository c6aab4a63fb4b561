package natspipe

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/timdrysdale/vw/lib/backoff"
)

// connector dials the servers of a cluster. nats.go's own reconnecting is not used: it keeps what was published
// meanwhile in a buffer of its own, and it asks only once for some credentials.
type connector struct {
	o       *Options
	servers []server // in the order in which they are tried
	rounds  int      // of dials without a connection
	silence time.Duration
}

// firstDial is how long a dial may take if there is another server to try: one that is frozen accepts a connection and
// says nothing. In the next round it is twice as long.
const firstDial = time.Second

// server is a server of the cluster.
type server struct {
	url     *url.URL
	learned string // the name of the server that told of it, which certificates are for; "": it was given
}

// newConnector returns a connector to servers that may be silent for so long.
func newConnector(o *Options, silence time.Duration) (*connector, error) {
	c := &connector{o: o, silence: silence}
	for _, raw := range o.Servers {
		u, err := parseServer(raw)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, server{url: u})
	}
	rand.Shuffle(len(c.servers), func(i, j int) { c.servers[i], c.servers[j] = c.servers[j], c.servers[i] })
	_, err := c.options(c.servers[0])
	return c, err
}

// dial connects to the first server that answers. The one that was lost last is tried last.
func (c *connector) dial(ctx context.Context) (*link, error) {
	var failures []error
	timeout := c.o.DialTimeout
	if len(c.servers) > 1 {
		timeout = min(timeout, firstDial<<min(c.rounds, 10))
	}
	c.rounds++
	for i, s := range c.servers {
		l, err := c.dialServer(ctx, s, timeout)
		if err == nil {
			c.rounds = 0
			c.learn(l.nc, s)
			c.servers = append(slices.Delete(c.servers, i, i+1), s)
			// Those that were given come before those that were learned, which may not be reachable.
			slices.SortStableFunc(c.servers[:len(c.servers)-1], func(a, b server) int {
				return min(len(a.learned), 1) - min(len(b.learned), 1)
			})
			return l, nil
		}
		failures = append(failures, fmt.Errorf("dial %s: %w", s.name(), err))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	// The reason why a server refuses says more than that another is not there.
	return nil, failures[max(0, slices.IndexFunc(failures, isRefusal))]
}

func (s server) name() string { return s.url.Scheme + "://" + s.url.Host }

// learn adds the servers that one has told of.
func (c *connector) learn(nc *nats.Conn, from server) {
	for _, raw := range nc.DiscoveredServers() {
		u, err := parseServer(raw)
		known := func(s server) bool { return s.url.Host == u.Host }
		if err != nil || slices.ContainsFunc(c.servers, known) {
			continue
		}
		u.User, u.Path = from.url.User, from.url.Path
		c.servers = append(c.servers, server{u, cmp.Or(from.learned, from.url.Hostname())})
	}
}

// keepConnected dials and calls use with each connection, until use returns nil or a fatal error, done says so, or ctx
// ends. The end of hold ends a connection.
func keepConnected(ctx, hold context.Context, c *connector, done func() bool, use func(*link) error) error {
	pause := backoff.New(c.o.BackoffMin, c.o.BackoffMax)
	lost := time.Now()
	for ctx.Err() == nil {
		l, err := c.dial(ctx)
		connected, lasted := err == nil, time.Duration(0)
		if connected {
			began := time.Now()
			c.o.Log.Info("link", "connected", "to", l.to, "after", began.Sub(lost).Round(time.Millisecond))
			unregister := context.AfterFunc(hold, func() { l.lose(context.Cause(hold)) })
			err = use(l)
			unregister()
			l.close()
			lost = time.Now()
			lasted = lost.Sub(began)
			pause.Lasted(lasted)
		}
		switch {
		case isFatal(err):
			return err
		case err == nil || ctx.Err() != nil || done():
			return nil
		}
		wait := pause.Next()
		switch {
		case isRefusal(err):
			wait = pause.NextSlow()
		case lasted > time.Second && len(c.servers) > 1:
			wait = 0 // another server is there
		}
		msg := "no connection"
		if connected {
			msg = "connection lost"
		}
		args := []any{"err", err, "again_in", wait.Round(time.Millisecond)}
		if hint := Hint(err); hint != "" {
			args = append(args, "hint", hint)
		}
		c.o.Log.Warn("link", msg, args...)
		sleep(ctx, wait)
	}
	return nil
}
