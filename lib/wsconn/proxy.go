package wsconn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// ProxyError is a response of an HTTP proxy to CONNECT other than success. It contains no secret.
type ProxyError struct {
	Code       int
	Status     string // "407 Proxy Authentication Required"
	Challenges string // the ways to authenticate that a 407 offers ("Basic, NTLM"), or ""
	Body       string // the start of the body: printable, 200 bytes at most
}

func (e *ProxyError) Error() string {
	text := "the proxy answered " + e.Status
	if e.Challenges != "" {
		text += ", asking for " + e.Challenges
	}
	if e.Body != "" {
		text += fmt.Sprintf(": %q", e.Body)
	}
	return text
}

// defaultProxyPorts has the schemes that a proxy's URL may have. Both names of SOCKS5 mean the same: the proxy looks up
// the server's name.
var defaultProxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// checkProxy returns why a proxy cannot be used. It says nothing of the URL, which may hold a password.
func checkProxy(u *url.URL) error {
	password, _ := u.User.Password()
	switch {
	case defaultProxyPorts[u.Scheme] == "":
		return errors.New("the proxy's URL must begin with http://, https://, socks5:// or socks5h://")
	case u.Hostname() == "":
		return errors.New("the proxy's URL has no host")
	case strings.Contains(u.Path+u.RawQuery+u.Fragment, "@"):
		return errors.New("the proxy's URL has an @ after its host (write / ? # in a password as %2F %3F %23)")
	case strings.HasPrefix(u.Scheme, "socks") && u.User != nil &&
		(u.User.Username() == "" || len(u.User.Username()) > 255 || len(password) > 255): // RFC 1929
		return errors.New("SOCKS5 wants a user and a password of at most 255 bytes, the user not empty")
	}
	return nil
}

// proxyName is the part of a proxy's URL that may be shown.
func proxyName(u *url.URL) string { return u.Scheme + "://" + u.Host }

// dialVia connects to addr, directly or through the proxy that the options choose.
func (d *dialer) dialVia(ctx context.Context, addr string) (net.Conn, error) {
	var through *url.URL
	if d.options.Proxy != nil {
		var err error
		if through, err = d.options.Proxy(d.url); err != nil {
			return nil, fmt.Errorf("choose a proxy: %w", err)
		}
	}
	if through == nil {
		return d.tcp(ctx, addr)
	}
	if err := checkProxy(through); err != nil {
		return nil, err
	}
	d.via = "through the proxy " + proxyName(through) + ": "
	d.secrets = append(d.secrets, requestSecrets(through, nil)...)
	slices.SortFunc(d.secrets, longestFirst)

	d.step = "connecting to the proxy"
	port := through.Port()
	if port == "" {
		port = defaultProxyPorts[through.Scheme]
	}
	conn, err := d.tcp(ctx, net.JoinHostPort(through.Hostname(), port))
	if err != nil {
		return nil, err
	}
	tunnel, err := d.tunnel(ctx, conn, through, addr)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return tunnel, nil
}

// tunnel makes the proxy at the end of conn connect to addr. The caller closes conn after an error.
func (d *dialer) tunnel(ctx context.Context, conn net.Conn, through *url.URL, addr string) (net.Conn, error) {
	switch through.Scheme {
	case "socks5", "socks5h":
		d.step = "waiting for the proxy's answer"
		return conn, socks5(ctx, conn, through.User, addr)
	case "https":
		d.step = "TLS handshake with the proxy"
		config := d.options.TLS.Clone()
		if config != nil {
			// These are for the server alone.
			config.ServerName, config.Certificates, config.GetClientCertificate = "", nil, nil
		}
		var err error
		if conn, err = tlsClient(ctx, conn, config, through.Hostname()); err != nil {
			return nil, fmt.Errorf("TLS handshake with the proxy: %w", err)
		}
	}
	d.step = "waiting for the proxy's answer"
	return d.httpConnect(ctx, conn, through.User, addr)
}

// socks5 speaks RFC 1928 and RFC 1929 on conn. The proxy looks up a name in addr.
func socks5(ctx context.Context, conn net.Conn, user *url.Userinfo, addr string) error {
	var auth *proxy.Auth
	if user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", conn.RemoteAddr().String(), auth, connDialer{conn})
	if err != nil {
		return fmt.Errorf("SOCKS5: %w", err)
	}
	// The result would hide the socket of conn, which it wraps.
	_, err = dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", addr)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		<-ctx.Done() // the error is ctx's deadline, which ctx may notice a moment later
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the addresses in it are known
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("SOCKS5: the proxy closed the connection instead of answering: %w", err)
	case err != nil:
		return fmt.Errorf("SOCKS5: %w", err)
	}
	return nil
}

// connDialer returns a connection that exists already.
type connDialer struct{ net.Conn }

func (e connDialer) Dial(string, string) (net.Conn, error) { return e.Conn, nil }

func (e connDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return e.Conn, nil
}

// httpConnect sends CONNECT on conn (RFC 9110, 9.3.6).
func (d *dialer) httpConnect(ctx context.Context, conn net.Conn, user *url.Userinfo, addr string) (net.Conn, error) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		conn.SetDeadline(past)
	})
	tunnel, err := d.sendConnect(conn, user, addr)
	if !stop() {
		<-ended
		if err == nil {
			return nil, ctx.Err()
		}
	}
	return tunnel, err
}

func (d *dialer) sendConnect(conn net.Conn, user *url.Userinfo, addr string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: addr}, Host: addr, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
		req.Header["Proxy-Authorization"] = req.Header["Authorization"]
		req.Header.Del("Authorization")
	}
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("CONNECT: %w", err)
	}
	limited := &io.LimitedReader{R: conn, N: maxResponseHeader}
	br := bufio.NewReader(limited)
	for {
		resp, err := http.ReadResponse(br, req)
		switch {
		case err != nil && limited.N == 0:
			return nil, fmt.Errorf("CONNECT: the header of the proxy's answer exceeds %d bytes", maxResponseHeader)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("CONNECT: the proxy closed the connection instead of answering: %w", err)
		case err != nil:
			return nil, fmt.Errorf("CONNECT: %w", err)
		case resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols:
			// An informational response: the final one follows (RFC 9110, 15.2).
			continue
		case resp.StatusCode/100 != 2:
			conn.SetReadDeadline(time.Now().Add(grace))
			body, _ := io.ReadAll(io.LimitReader(resp.Body, maxResponseBody))
			return nil, newProxyError(resp, string(body), d.secrets)
		}
		// A successful response has no body, whatever its header says: the bytes that follow come from the server.
		if br.Buffered() == 0 {
			return conn, nil
		}
		early, _ := br.Peek(br.Buffered())
		return &prefixConn{Conn: conn, prefix: bytes.Clone(early)}, nil
	}
}

func newProxyError(resp *http.Response, body string, s secrets) *ProxyError {
	var asks []string
	for _, challenge := range resp.Header["Proxy-Authenticate"] {
		scheme, _, _ := strings.Cut(challenge, " ")
		asks = append(asks, scheme)
	}
	if strings.HasPrefix(strings.TrimSpace(body), "<") {
		body = "" // a page for browsers: its start says nothing
	}
	return &ProxyError{
		Code:       resp.StatusCode,
		Status:     excerpt(s.scrub(resp.Status)),
		Challenges: excerpt(s.scrub(strings.Join(asks, ", "))),
		Body:       excerpt(s.scrub(body)),
	}
}

// prefixConn reads the bytes that came together with the proxy's response, then the connection.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.prefix)
	c.prefix = c.prefix[n:]
	return n, nil
}

// NetConn is for underlyingConn.
func (c *prefixConn) NetConn() net.Conn { return c.Conn }

func (c *prefixConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// underlyingConn returns the TCP connection under layers of TLS and prefixConn.
func underlyingConn(conn net.Conn) net.Conn {
	for {
		layer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = layer.NetConn()
	}
}

// tlsClient makes the TLS handshake on conn. config may be nil; host is the server's name unless config has one.
func tlsClient(ctx context.Context, conn net.Conn, config *tls.Config, host string) (net.Conn, error) {
	config = config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	config.NextProtos = []string{"http/1.1"}
	// Full records from the start: a message is sent as a whole, and small records are more system calls.
	config.DynamicRecordSizingDisabled = true
	tc := tls.Client(conn, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}
