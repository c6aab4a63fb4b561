package wsconn

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// dialVia dials through a proxy that answers with the text.
func dialVia(t *testing.T, scheme, answer string) error {
	t.Helper()
	host := rawTCP(t, func(conn *net.TCPConn) {
		conn.Read(make([]byte, 4096))
		io.WriteString(conn, answer)
		conn.CloseWrite()
		io.Copy(io.Discard, conn)
	})[len("ws://"):]
	return dialThrough(t, &url.URL{Scheme: scheme, Host: host, User: url.UserPassword("hubert", "s3cr3t/pw")})
}

func dialThrough(t *testing.T, through *url.URL) error {
	t.Helper()
	c, err := Dial(testContext(t), "wss://tom:h1dd3n@example.com/in?t=t0k3n", DialOptions{
		Proxy: func(*url.URL) (*url.URL, error) { return through, nil },
	})
	if err == nil {
		c.CloseNow()
		t.Fatal("connected")
	}
	for _, secret := range []string{"hubert", "s3cr3t", "tom", "h1dd3n", "t0k3n", "aHViZXJ0"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q shows %q", err, secret)
		}
	}
	want := "dial wss://example.com/in: through the proxy " + through.Scheme + "://" + through.Host + ": "
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%q does not begin with %q", err, want)
	}
	return err
}

func TestProxyRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		want   ProxyError
		text   string
	}{
		"407": {
			"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic " +
				"realm=\"x\"\r\nProxy-Authenticate: NTLM\r\n" +
				"Content-Length: 27\r\n\r\nhubert s3cr3t/pw\x1b is\r\nwrong",
			ProxyError{407, "407 Proxy Authentication Required", "Basic, NTLM", "… … is wrong"},
			`the proxy answered 407 Proxy Authentication Required, asking for Basic, NTLM: "… … is wrong"`,
		},
		"403": {
			"HTTP/1.0 403 Forbidden\r\n\r\n" + strings.Repeat("x", 5000),
			ProxyError{Code: 403, Status: "403 Forbidden", Body: strings.Repeat("x", 200)},
			"the proxy answered 403 Forbidden",
		},
		"page": {
			"HTTP/1.0 401 Unauthorized\r\nContent-Type: text/html\r\n\r\n\n<?xml?><html>",
			ProxyError{Code: 401, Status: "401 Unauthorized"},
			"the proxy answered 401 Unauthorized",
		},
		"502": {
			"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
			ProxyError{Code: 502, Status: "502 Bad Gateway", Body: "no"},
			`the proxy answered 502 Bad Gateway: "no"`,
		},
		"302": {
			"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n",
			ProxyError{Code: 302, Status: "302 Found"},
			"the proxy answered 302 Found",
		},
		"101": {
			"HTTP/1.1 101 Switching Protocols\r\n\r\n",
			ProxyError{Code: 101, Status: "101 Switching Protocols"},
			"the proxy answered 101 Switching Protocols",
		},
		"after 1xx": {
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
			ProxyError{Code: 503, Status: "503 Busy"},
			"the proxy answered 503 Busy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := dialVia(t, "http", c.answer)
			var got *ProxyError
			if !errors.As(err, &got) || *got != c.want || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("%v (%+v)", err, got)
			}
			var refused *StatusError
			if errors.As(err, &refused) {
				t.Error("it passes for a refusal of the server")
			}
		})
	}
}

func TestBadProxies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ scheme, answer, want string }{
		"garbage":           {"http", "SSH-2.0-OpenSSH_9\r\n", "malformed HTTP"},
		"closed":            {"http", "", "the proxy closed the connection"},
		"half a header":     {"http", "HTTP/1.1 200 OK\r\nX: ", "the proxy closed the connection"},
		"endless header":    {"http", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000), "exceeds"},
		"endless 1xx":       {"http", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 5000), "exceeds"},
		"no TLS":            {"https", "HTTP/1.1 400 Bad Request\r\n\r\n", "TLS handshake with the proxy"},
		"SOCKS closed":      {"socks5", "", "the proxy closed the connection"},
		"SOCKS 4":           {"socks5", "\x00\x5b\x00\x00", "unexpected protocol version"},
		"SOCKS wrong user":  {"socks5", "\x05\x02\x01\x01", "authentication failed"},
		"SOCKS other ways":  {"socks5", "\x05\xff", "no acceptable authentication"},
		"SOCKS unreachable": {"socks5h", "\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00", "host unreachable"},
		"tunnel to garbage": {"http", "HTTP/1.1 200 OK\r\n\r\nhello, hello, hello", "TLS handshake: "},
	} {
		t.Run(name, func(t *testing.T) {
			if err := dialVia(t, c.scheme, c.answer); !strings.Contains(err.Error(), c.want) {
				t.Fatal(err)
			}
		})
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := dialThrough(t, &url.URL{Scheme: "http", Host: l.Addr().String()}); !strings.Contains(err.Error(),
		"refused") {
		t.Error(err)
	}
}

// The 407 of a proxy that wants another user, as its clients see it.
func TestWrongProxyUser(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{"http": "407", "https": "407", "socks5": "authentication failed"} {
		addr, config := echoServer(t, "ws")
		p := startProxy(t, kind, addr, "hubert:right")
		p.url.User = url.UserPassword("hubert", "wr0ng")
		_, err := Dial(testContext(t), "ws://example.com/", DialOptions{TLS: config, Proxy: p.through})
		if err == nil || !strings.Contains(err.Error(), want) || p.requests() != "[]" {
			t.Errorf("%s: %v, asked %s", kind, err, p.requests())
		}
	}
}

// A proxy over TLS is verified by its own name, and gets no certificate of ours.
func TestProxyIsVerified(t *testing.T) {
	t.Parallel()
	addr, config := echoServer(t, "ws")
	p := startProxy(t, "https", addr, "")
	_, err := Dial(testContext(t), "ws://example.com/", DialOptions{Proxy: p.through})
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("not trusted: %v", err)
	}
	p.url.Host = "localhost" + p.url.Host[len("127.0.0.1"):]
	config.ServerName = "example.com" // the server's
	_, err = Dial(testContext(t), "ws://example.com/", DialOptions{TLS: config, Proxy: p.through})
	var hostname x509.HostnameError
	if !errors.As(err, &hostname) {
		t.Errorf("another name: %v", err)
	}

	p.url.Host = "127.0.0.1" + p.url.Host[len("localhost"):]
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	s.Close()
	config.Certificates = s.TLS.Certificates
	works(t, dialed(t, "ws://example.com/", DialOptions{TLS: config, Proxy: p.through}))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown != 0 {
		t.Error("the proxy was shown the client's certificate")
	}
}

func TestSilentProxies(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "https", "socks5"} {
		for _, first := range []string{"", "HTTP/1.1 100 Continue\r\nX: "} {
			if first != "" && kind != "http" {
				continue
			}
			t.Run(kind+first, func(t *testing.T) {
				t.Parallel()
				host := rawTCP(t, func(conn *net.TCPConn) {
					_, err := io.WriteString(conn, first)
					for first != "" && err == nil {
						time.Sleep(20 * time.Millisecond)
						_, err = io.WriteString(conn, "x")
					}
					io.Copy(io.Discard, conn)
				})[len("ws://"):]
				start := time.Now()
				_, err := Dial(context.Background(), "ws://example.com/", DialOptions{
					Timeout: 200 * time.Millisecond,
					Proxy:   func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: kind, Host: host}, nil },
				})
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the proxy") {
					t.Error(err)
				}
				if d := time.Since(start); d > soon {
					t.Errorf("took %v", d)
				}
			})
		}
	}
}

func TestProxyDialEndsWithContext(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "https", "socks5"} {
		asked := make(chan struct{})
		host := rawTCP(t, func(conn *net.TCPConn) {
			conn.Read(make([]byte, 1))
			close(asked)
			io.Copy(io.Discard, conn)
		})[len("ws://"):]
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("enough")
		go func() {
			<-asked
			cancel(cause)
		}()
		_, err := Dial(ctx, "ws://example.com/", DialOptions{
			Proxy: func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: kind, Host: host}, nil },
		})
		if !errors.Is(err, cause) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A refusal counts, also when its body does not come in time.
func TestProxyRefusalWithoutBody(t *testing.T) {
	t.Parallel()
	host := rawTCP(t, func(conn *net.TCPConn) {
		io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n")
		io.Copy(io.Discard, conn)
	})[len("ws://"):]
	_, err := Dial(context.Background(), "ws://example.com/", DialOptions{
		Timeout: 200 * time.Millisecond,
		Proxy:   func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: "http", Host: host}, nil },
	})
	var refused *ProxyError
	if !errors.As(err, &refused) || refused.Code != 403 {
		t.Error(err)
	}
}
