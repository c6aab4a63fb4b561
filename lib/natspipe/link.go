package natspipe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// link is a connection to a server.
type link struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	to  string          // the server's URL, as it may be shown
	ctx context.Context // ends with the connection
	// lose ends ctx. The first cause counts.
	lose context.CancelCauseFunc
	raw  *watchedConn
	took time.Duration // the dial: three round trips or more
}

// options reads the credentials.
func (c *connector) options(s server) (nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.Url, o.Name = s.url.String(), "vw-nats"
	o.AllowReconnect = false
	o.SkipHostLookup = true // a proxy may have to do it
	o.Timeout = c.o.DialTimeout
	// Each ping has an answer, or watchedConn ends the connection.
	o.PingInterval, o.MaxPingsOut = c.o.DeadAfter/pingsIn, math.MaxInt
	o.FlusherTimeout, o.ReconnectOnFlusherError = c.o.DeadAfter, true
	config, err := c.o.TLS.Config()
	if err != nil {
		return o, err
	}
	config.ServerName = s.learned
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

func (c *connector) dialServer(ctx context.Context, s server, timeout time.Duration) (*link, error) {
	o, err := c.options(s)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the server is not ready within %v", timeout))
	defer cancel()
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
	d := &dialer{link: l, url: *s.url, silence: c.silence,
		options: wsconn.DialOptions{TLS: o.TLSConfig, Proxy: c.o.Proxy, Timeout: c.o.DialTimeout}}
	o.CustomDialer = d
	if l.nc, err = o.Connect(); err == nil {
		l.raw.watch()
		l.took = time.Since(began)
		l.js, err = jetstream.New(l.nc)
		return l, err
	}
	if d.err != nil {
		err = d.err // nats.go says "no servers" where one refuses
	}
	l.lose(err)
	return nil, l.err()
}

// err returns why the connection has ended, or nil.
func (l *link) err() error { return context.Cause(l.ctx) }

// check returns why what was sent may not have been taken: a refusal is there before the answer to a later ping, but
// reaches the error handler at any time, as the end of a connection does.
func (l *link) check() error {
	switch last := l.nc.LastError(); {
	case errors.Is(last, nats.ErrPermissionViolation):
		return refused(last)
	case l.ctx.Err() == nil && l.nc.IsClosed():
		return last
	}
	return l.err()
}

// flushTimeout limits the wait for a pong. A server that is dead is noticed long before.
const flushTimeout = time.Minute

// flush waits until the server has taken what was sent before.
func (l *link) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return cause(l, l.nc.FlushWithContext(ctx))
}

// cause returns why the connection has ended or is useless, or err.
func cause(l *link, err error) error {
	if c := l.check(); c != nil {
		return c
	}
	return err
}

// close ends the connection. What was not flushed is lost.
func (l *link) close() {
	l.lose(net.ErrClosed)
	_ = l.raw.Close() // or nats.go would flush to a server that is dead
	l.nc.Close()
}

// dialer makes the network connection for nats.go.
type dialer struct {
	link    *link
	url     url.URL
	options wsconn.DialOptions
	silence time.Duration
	err     error
}

func (d *dialer) Dial(string, string) (net.Conn, error) {
	switch d.url.Scheme {
	case "nats":
		d.url.Scheme = "ws"
	case "tls":
		d.url.Scheme = "wss"
	}
	conn, err := wsconn.DialTunnel(d.link.ctx, &d.url, d.options)
	if err != nil {
		d.err = err
		return nil, err
	}
	wsconn.SetNotsentLowat(conn, maxUnsent)
	d.link.raw = &watchedConn{Conn: conn, silence: d.silence}
	context.AfterFunc(d.link.ctx, func() { _ = conn.Close() })
	return d.link.raw, nil
}
