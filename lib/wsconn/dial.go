package wsconn

//lint:file-ignore SA1019 This import path is the project's choice; the code goes on as github.com/coder/websocket.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nhooyr.io/websocket"

	"github.com/timdrysdale/vw/lib/fdio"
)

// DefaultDialTimeout is used when DialOptions has none.
const DefaultDialTimeout = 10 * time.Second

// DialOptions are the options of Dial. The zero value is valid.
type DialOptions struct {
	// Header is sent with the handshake. Its Authorization overrides the URL's userinfo.
	Header http.Header
	// Subprotocol, when not "", must be agreed to by the server.
	Subprotocol string
	// TLS is for wss; nil means the system's certificate authorities.
	TLS *tls.Config
	// Proxy returns the proxy (http, https, socks5 or socks5h) through which to reach a ws or wss URL, or nil for none.
	// Nil means no proxies. An https proxy is trusted as the server is, and never shown the client's certificate.
	Proxy func(*url.URL) (*url.URL, error)
	// Timeout bounds the whole dial: name lookup, TCP, proxy, TLS, handshake. 0 means DefaultDialTimeout.
	Timeout time.Duration

	// dial makes the TCP connection to host:port; nil means directly.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial connects to a ws or wss URL. Userinfo in the URL becomes Basic authentication. Redirects are not followed. When
// the server refuses, the error is a *StatusError (wrapped), when an HTTP proxy does, a *ProxyError; a failed
// verification of its certificate is the crypto/tls package's error (wrapped). No error's text contains userinfo, query
// or header values. ctx and Timeout bound the dial only, not the connection.
//
// The caller reads from the connection or calls Discard: without, neither pongs nor the connection's end are noticed.
func Dial(ctx context.Context, rawURL string, o DialOptions) (*Conn, error) {
	u, err := parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", Redact(rawURL), err)
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultDialTimeout
	}
	d := &dialer{url: u, options: o, secrets: requestSecrets(u, o.Header), step: "connecting"}
	var c *Conn
	err = d.within(ctx, timeout, func(ctx context.Context) (err error) {
		c, err = d.run(ctx)
		return err
	})
	if err != nil {
		return nil, &dialError{text: "dial " + Redact(rawURL) + ": " + err.Error(), err: err}
	}
	return c, nil
}

// DialTunnel connects to host:port of a ws or wss URL as Dial does, through the proxy that o.Proxy chooses for it, and
// leaves TLS and all that follows to the caller. Of the other options it uses Timeout, and TLS for an https proxy.
func DialTunnel(ctx context.Context, u *url.URL, o DialOptions) (net.Conn, error) {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultDialTimeout
	}
	d := &dialer{url: u, options: o, step: "connecting"}
	var conn net.Conn
	err := d.within(ctx, timeout, func(ctx context.Context) (err error) {
		conn, err = d.dialVia(ctx, u.Host)
		return err
	})
	return conn, err
}

// within bounds a step of dialling. Its error has a text without secrets.
func (d *dialer) within(ctx context.Context, timeout time.Duration, step func(context.Context) error) error {
	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := step(dialCtx)
	if err == nil {
		return nil
	}
	var refused *StatusError
	var proxyRefused *ProxyError
	switch {
	case errors.As(err, &refused), errors.As(err, &proxyRefused):
	case ctx.Err() != nil:
		err = fmt.Errorf("%s: %w", d.step, context.Cause(ctx))
	case dialCtx.Err() != nil:
		err = fmt.Errorf("%s: not done within %v: %w", d.step, timeout, context.DeadlineExceeded)
	}
	return &dialError{text: d.via + d.secrets.scrub(err.Error()), err: err}
}

// dialError has a text without secrets. It wraps the cause for errors.Is and errors.As.
type dialError struct {
	text string
	err  error
}

func (e *dialError) Error() string { return e.text }
func (e *dialError) Unwrap() error { return e.err }

// parse parses a URL. Its errors do not quote the URL, as those of url.Parse do, because a part may be a password.
func parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a valid URL")
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, errors.New("the URL must begin with ws:// or wss://")
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case strings.Contains(raw, "#"):
		// RFC 6455, 3. In a password it would make the user's name the host.
		return nil, errors.New("the URL has a fragment (write # as %23)")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the URL's port is none (1 to 65535)")
		}
	}
	return u, nil
}

type dialer struct {
	url     *url.URL
	options DialOptions
	secrets secrets
	step    string // what is being done, for the error
	via     string // the proxy, for the error
}

func (d *dialer) run(ctx context.Context) (*Conn, error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	c, err := d.handshake(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// connect makes the connection to the server, with TLS over it for wss.
func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	port := d.url.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[d.url.Scheme]
	}
	conn, err := d.dialVia(ctx, net.JoinHostPort(d.url.Hostname(), port))
	if err != nil || d.url.Scheme == "ws" {
		return conn, err
	}
	d.step = "TLS handshake"
	tc, err := tlsClient(ctx, conn, d.options.TLS, d.url.Hostname())
	if err != nil {
		underlyingConn(conn).Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

// tcp makes a TCP connection.
func (d *dialer) tcp(ctx context.Context, addr string) (net.Conn, error) {
	dial := d.options.dial
	if dial == nil {
		dial = newNameDialer().DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	SetNotsentLowat(conn, notsentLowat)
	return fdio.NewConn(conn), nil
}

// handshake makes the opening handshake on conn (RFC 6455, 4.1).
func (d *dialer) handshake(ctx context.Context, conn net.Conn) (*Conn, error) {
	d.step = "waiting for the server's answer"
	u := &upgrade{conn: conn}
	client := &http.Client{
		Transport:     u,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	header := d.options.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Del("Sec-WebSocket-Extensions")
	target := *d.url
	if user := target.User; user != nil && header.Get("Authorization") == "" {
		password, _ := user.Password()
		r := http.Request{Header: header}
		r.SetBasicAuth(user.Username(), password)
	}
	target.User = nil
	options := &websocket.DialOptions{
		HTTPClient:      client,
		HTTPHeader:      header,
		Host:            header.Get("Host"),
		CompressionMode: websocket.CompressionDisabled,
	}
	if d.options.Subprotocol != "" {
		options.Subprotocols = []string{d.options.Subprotocol}
	}

	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		conn.SetDeadline(past)
	})
	ws, resp, err := websocket.Dial(ctx, target.String(), options)
	if err == nil {
		ws.CloseNow()
	}
	if !stop() {
		<-ended
		if err == nil {
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, d.handshakeError(resp, err)
	}
	if want := d.options.Subprotocol; want != "" && !strings.EqualFold(ws.Subprotocol(), want) {
		return nil, fmt.Errorf("the server did not agree to the subprotocol %q", want)
	}
	c := newConn(conn, u.r, true, ws.Subprotocol())
	c.secrets = d.secrets
	return c, nil
}

// handshakeError makes an error that says what the server did.
func (d *dialer) handshakeError(resp *http.Response, err error) error {
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		var body []byte
		if resp.Body != nil {
			body, _ = io.ReadAll(resp.Body)
		}
		return newStatusError(d.url, resp, string(body), d.secrets)
	}
	// The URL in it is shown by Dial, redacted.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("handshake: %w", err)
}
