package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// maxRetryAfter is the longest pause that a server may ask for.
const maxRetryAfter = 5 * time.Minute

// destination is one server, and the queue in front of it.
type destination struct {
	url  string
	name string // the URL without secrets
	o    *Options

	queue   *stream.Queue
	account *stream.Account

	joined   bool        // it gets the stream; under the fanout's feeding
	leaving  atomic.Bool // it is to get its current group of pictures to the end, and no more
	released atomic.Bool // it has got that
	cancel   context.CancelCauseFunc

	down outage // for the goroutine that runs
	news news

	connected atomic.Bool
	roundTrip atomic.Int64 // of the last ping, in ns
}

// newDestination returns one whose queue is still to be delivered. A late one joins a stream that flows already.
func newDestination(url string, o *Options, late bool) *destination {
	d := &destination{url: url, name: wsconn.Redact(url), o: o}
	d.account = o.Ledger.Open(d.name)
	d.news.to, d.news.key, d.news.log = d.name, url, o.Log
	d.queue = stream.NewQueue(stream.QueueOptions{
		Live:          o.Live,
		JoinMidStream: late,
		Buffer:        o.Buffer,
		MaxAge:        o.MaxAge,
		AtLeastOnce:   !o.Live,
		MaxDelivery:   o.MaxMessage,
		Account:       d.account,
		Warn:          func(message, hint string) { o.Log.Warn(message+" "+url, message, "to", d.name, "hint", hint) },
	})
	return d
}

// outage is the time without a connection.
type outage struct {
	since   time.Time
	dropped int64 // bytes that had been dropped by then
}

func (d *destination) outageNow() outage { return outage{time.Now(), d.account.Counts().Dropped.Sum()} }

// run delivers the queue, over as many connections as it takes. It returns an error only if it gave up. Whatever it
// returns, nothing is held and nothing unconfirmed when it does.
func (d *destination) run(ctx context.Context) error {
	defer d.queue.Abort(stream.Shutdown)
	pause := backoff.New(d.o.BackoffMin, d.o.BackoffMax)
	d.down = d.outageNow()
	for ctx.Err() == nil {
		err := d.connection(ctx, pause)
		if err == nil || ctx.Err() != nil || d.queue.Finished() {
			return nil
		}
		wait, again := nextDial(pause, err), true
		if d.o.GiveUpAfter > 0 {
			left := time.Until(d.down.since.Add(d.o.GiveUpAfter))
			wait, again = min(wait, left), left > 0
		}
		if !again {
			return fmt.Errorf("%w after %v: %w", ErrGaveUp, d.o.GiveUpAfter, err)
		}
		d.news.lost(err, wait)
		if d.sleep(ctx, wait); d.queue.Finished() {
			return nil
		}
	}
	return nil
}

// nextDial returns for how long to wait after err before the next dial: for as long as the server asked for, if that is longer than the pause
// that is due and not absurd.
func nextDial(pause *backoff.Backoff, err error) time.Duration {
	next := pause.Next
	if permanent(err) {
		next = pause.NextSlow
	}
	return max(next(), min(retryAfter(err), maxRetryAfter))
}

// dialError says that there was no connection.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// connection makes one connection and delivers the queue over it. It returns nil when that is at its end and all is
// confirmed, a dialError, or why the connection was lost.
func (d *destination) connection(ctx context.Context, pause *backoff.Backoff) error {
	if d.o.BeforeDial != nil {
		d.o.BeforeDial()
	}
	conn, err := d.dial(ctx)
	if err != nil {
		return &dialError{err}
	}
	now := time.Now()
	d.account.AddConnects()
	d.connected.Store(true)
	d.news.connected(now.Sub(d.down.since), d.account.Counts().Dropped.Sum()-d.down.dropped)
	err = newSession(d, conn).run(ctx)
	d.connected.Store(false)
	if err != nil {
		pause.Lasted(time.Since(now))
		d.down = d.outageNow() // what was not confirmed belongs to it
		d.queue.Requeue()
	}
	return err
}

func (d *destination) dial(ctx context.Context) (*wsconn.Conn, error) {
	header, err := d.o.Credentials.header(d.o.Header)
	if err != nil {
		return nil, err
	}
	config, err := d.o.Credentials.tls()
	if err != nil {
		return nil, err
	}
	return wsconn.Dial(ctx, d.url, wsconn.DialOptions{
		Header:      header,
		Subprotocol: d.o.Subprotocol,
		TLS:         config,
		Proxy:       d.o.Proxy,
		Timeout:     d.o.DialTimeout,
	})
}

// permanent reports whether trying again soon is of no use. It is still tried again: tokens and relays get repaired.
func permanent(err error) bool {
	var refused *wsconn.StatusError
	if errors.As(err, &refused) {
		switch refused.Code {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return true
		}
	}
	var proxy *wsconn.ProxyError
	if errors.As(err, &proxy) {
		switch proxy.Code {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
			return true
		}
	}
	return unverified(err) || disowned(err)
}

func unverified(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname)
}

// disowned reports whether the server ended TLS because of the client's certificate, or for want of one. For what a peer
// says, crypto/tls has words and no type.
func disowned(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate")
}

// retryAfter is the pause that a server asked for, or 0.
func retryAfter(err error) time.Duration {
	var refused *wsconn.StatusError
	if errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return 0
}

// Hint is what a user can do about an error of a destination, or "".
func Hint(err error) string {
	var refused *wsconn.StatusError
	var proxy *wsconn.ProxyError
	switch {
	case unverified(err):
		return "give the server's certificate authority with --ca"
	case disowned(err):
		return "the server wants a client's certificate that it knows: give it with --cert and --key"
	case errors.As(err, &proxy) && (proxy.Code == http.StatusProxyAuthRequired || proxy.Code == http.StatusUnauthorized):
		return "put user and password into the proxy's URL, as http://user:password@host:port (only Basic is known)"
	case errors.As(err, &proxy):
		return "the proxy must allow CONNECT to this host and port, and reach it; NO_PROXY names hosts to reach without it"
	case !errors.As(err, &refused):
		return ""
	case refused.Code == http.StatusUnauthorized || refused.Code == http.StatusForbidden:
		return "give the right token with --token-file or --header-file"
	case refused.Code >= 500 || refused.Code == http.StatusTooManyRequests:
		return "" // what there is to do is to wait
	case refused.Location != "":
		return "redirects are not followed, since the token must not go elsewhere: give the URL where it leads"
	}
	return "is there a websocket server at this path?"
}

// sleep waits, or returns when ctx ends, or the input with nothing left to deliver.
func (d *destination) sleep(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	ended := d.queue.Ended()
	for {
		select {
		case <-ended:
			if d.queue.Finished() {
				return
			}
			ended = nil
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
