package natspipe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// connector dials the servers of a cluster. nats.go's own reconnecting is not used: it keeps what was published
// meanwhile in a buffer of its own, and it asks only once for some credentials.
type connector struct {
	o       *Options
	servers []server // in the order in which they are tried
}

// server is a server of the cluster.
type server struct {
	url     *url.URL
	tlsName string // of a server that was learned: certificates are for the name that was given
	learned bool
}

func newConnector(o *Options) (*connector, error) {
	c := &connector{o: o}
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

// link is a connection to a server.
type link struct {
	nc  *nats.Conn
	to  string          // the server's URL, as it may be shown
	ctx context.Context // ends with the connection
	// lose ends ctx. The first cause counts.
	lose context.CancelCauseFunc
	raw  net.Conn
}

// dial connects to the first server that answers. The one that was lost last is tried last.
func (c *connector) dial(ctx context.Context) (*link, error) {
	var failures []error
	for i, s := range c.servers {
		l, err := c.dialServer(ctx, s)
		if err == nil {
			c.learn(l.nc, s)
			c.servers = append(slices.Delete(c.servers, i, i+1), s)
			slices.SortStableFunc(c.servers[:len(c.servers)-1], func(a, b server) int { return a.rank() - b.rank() })
			return l, nil
		}
		failures = append(failures, fmt.Errorf("dial %s: %w", s.name(), err))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	// The reason why a server refuses says more than that another is not there.
	for _, err := range failures {
		if isRefusal(err) {
			return nil, err
		}
	}
	return nil, failures[0]
}

// rank puts the servers that were given in front of those that were learned, which may not be reachable.
func (s server) rank() int {
	if s.learned {
		return 1
	}
	return 0
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
		name := from.tlsName
		if name == "" {
			name = from.url.Hostname()
		}
		c.servers = append(c.servers, server{u, name, true})
	}
}

// options reads the credentials.
func (c *connector) options(s server) (nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.Url, o.Name = s.url.String(), "vw-nats"
	o.AllowReconnect = false
	o.SkipHostLookup = true // a proxy may have to do it
	o.Timeout = c.o.DialTimeout
	// A ping that has found no answer when the next is due ends the connection: after two thirds of DeadAfter.
	o.PingInterval, o.MaxPingsOut = c.o.DeadAfter/3, 1
	o.FlusherTimeout, o.ReconnectOnFlusherError = c.o.DeadAfter, true
	config, err := c.o.TLS.Config()
	if err != nil {
		return o, err
	}
	config.ServerName = s.tlsName
	// With these a server that offers no TLS must not get the stream.
	o.Secure = s.url.Scheme == "tls" || s.url.Scheme == "wss" || c.o.TLS.CA != "" || c.o.TLS.Cert != ""
	if o.Secure || s.url.Scheme == "nats" {
		o.TLSConfig = config
	}
	switch {
	case c.o.Creds != "":
		if _, err = os.ReadFile(c.o.Creds); err == nil { // nats.go hides why it cannot
			err = nats.UserCredentials(c.o.Creds)(&o)
		}
	case c.o.NKey != "":
		var key nats.Option
		if key, err = nats.NkeyOptionFromSeed(c.o.NKey); err == nil {
			err = key(&o)
		}
	case c.o.Token != nil:
		o.Token, err = c.o.Token()
	}
	if err != nil {
		err = fmt.Errorf("read credentials: %w", err)
	}
	return o, err
}

func (c *connector) dialServer(ctx context.Context, s server) (*link, error) {
	o, err := c.options(s)
	if err != nil {
		return nil, err
	}
	l := &link{to: s.name()}
	l.ctx, l.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { l.lose(context.Cause(ctx)) })()
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrSlowConsumer) { // what it costs is seen as a gap
			l.lose(refused(err))
		}
	}
	o.ClosedCB = func(nc *nats.Conn) {
		err := nc.LastError()
		if err == nil {
			err = errors.New("the server has closed the connection")
		}
		l.lose(refused(err))
	}
	d := &dialer{l: l, url: s.url, proxy: c.o.Proxy, timeout: c.o.DialTimeout, stall: c.o.DeadAfter * 2 / 3}
	if o.TLSConfig != nil {
		d.tls = wsconn.DialOptions{TLS: o.TLSConfig}
	}
	o.CustomDialer = d
	l.nc, err = o.Connect()
	if err == nil {
		return l, nil
	}
	if d.err != nil {
		err = d.err // nats.go says "no servers" where one refuses
	}
	l.lose(err)
	return nil, err
}

// refused makes a refusal that is about the subject, not about the connection, fatal.
func refused(err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return &fatalError{err}
	}
	return err
}

// isRefusal reports whether a server does not let the client in: an early retry is useless.
func isRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired) || errors.Is(err, nats.ErrTLS)
}

// err returns why the connection has ended, or nil.
func (l *link) err() error {
	if l.ctx.Err() == nil {
		return nil
	}
	return context.Cause(l.ctx)
}

// check returns why what was sent may not have been taken: a refusal is there before the answer to a later ping, but
// reaches the error handler at any time.
func (l *link) check() error {
	if err := l.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return refused(err)
	}
	return l.err()
}

// close ends the connection. What was not flushed is lost.
func (l *link) close() {
	l.lose(net.ErrClosed)
	_ = l.raw.Close() // or nats.go would flush to a server that is dead
	l.nc.Close()
}

// dialer makes the network connection for nats.go.
type dialer struct {
	l              *link
	url            *url.URL
	proxy          func(*url.URL) (*url.URL, error)
	tls            wsconn.DialOptions
	timeout, stall time.Duration
	err            error
}

func (d *dialer) Dial(string, string) (net.Conn, error) {
	u := *d.url
	switch u.Scheme {
	case "nats":
		u.Scheme = "ws"
	case "tls":
		u.Scheme = "wss"
	}
	o := d.tls
	o.Proxy, o.Timeout = d.proxy, d.timeout
	conn, err := wsconn.DialTunnel(d.l.ctx, &u, o)
	if err != nil {
		d.err = err
		return nil, err
	}
	d.l.raw = conn
	context.AfterFunc(d.l.ctx, func() { _ = conn.Close() })
	return &stallConn{conn, d.stall}, nil
}

// stallConn is a connection whose writes fail when the network takes nothing for a time. nats.go would bound each
// write as a whole, which a slow link takes long for.
type stallConn struct {
	net.Conn
	stall time.Duration
}

// writePiece is what a link that lives takes in much less than the limit.
const writePiece = 16 << 10

func (c *stallConn) SetWriteDeadline(time.Time) error { return nil }

func (c *stallConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if err = c.Conn.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			break
		}
		var m int
		m, err = c.Conn.Write(p[n:min(n+writePiece, len(p))])
		n += m
	}
	return n, err
}
