package wsconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
)

// echo sends each message back.
func echo(c *Conn) {
	for {
		_, r, err := c.NextMessage(context.Background())
		if err != nil {
			return
		}
		b, err := io.ReadAll(r)
		if err != nil || c.Write(context.Background(), b) != nil {
			return
		}
	}
}

// echoServer is an echo server for ws or wss, and what a client must trust.
func echoServer(t *testing.T, scheme string) (addr string, config *tls.Config) {
	begin := (*httptest.Server).Start
	if scheme == "wss" {
		begin = (*httptest.Server).StartTLS
	}
	return startServer(t, AcceptOptions{}, echo, begin).Listener.Addr().String(), trusted()
}

// trusted trusts the servers of httptest, whose certificate is for 127.0.0.1, ::1 and example.com.
func trusted() *tls.Config {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

// works sends a message there and back.
func works(t *testing.T, c *Conn) {
	t.Helper()
	want := strings.Repeat("over and over ", 5000)
	if err := c.Write(testContext(t), []byte(want)); err != nil {
		t.Fatal(err)
	}
	_, r, err := c.NextMessage(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Fatalf("%d bytes came back, want %d: %v", len(got), len(want), err)
	}
}

func TestThroughProxies(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "https", "socks5", "socks5h"} {
		for _, scheme := range []string{"ws", "wss"} {
			for _, user := range []string{"", "hubert:s3cr3t/pw"} {
				t.Run(kind+" "+scheme+" "+user, func(t *testing.T) {
					t.Parallel()
					addr, config := echoServer(t, scheme)
					p := startProxy(t, kind, addr, user)
					if name, password, ok := strings.Cut(user, ":"); ok {
						p.url.User = url.UserPassword(name, password)
					}
					c, err := Dial(testContext(t), scheme+"://example.com/in",
						DialOptions{TLS: config, Proxy: p.through})
					if err != nil {
						t.Fatal(err)
					}
					defer c.CloseNow()
					works(t, c)
					want := map[string]string{"ws": "[example.com:80]", "wss": "[example.com:443]"}[scheme]
					if got := p.requests(); got != want {
						t.Errorf("asked for %s, want %s", got, want)
					}
					seesTCP(t, c)
					if err := c.Close(testContext(t), 1000, ""); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func seesTCP(t *testing.T, c *Conn) {
	t.Helper()
	if _, ok := c.out.raw.(syscall.Conn); !ok {
		t.Errorf("the connection below all is a %T", c.out.raw)
	}
}

// A proxy may send its answer and the server's first bytes at once.
func TestBytesAfterTheProxysResponse(t *testing.T) {
	t.Parallel()
	addr, config := echoServer(t, "ws")
	for _, kind := range []string{"http", "https"} {
		p := startProxy(t, kind, addr, "")
		p.early = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
		c, err := Dial(testContext(t), "ws://example.com/", DialOptions{TLS: config, Proxy: p.through})
		if err != nil {
			t.Fatal(err)
		}
		works(t, c)
		seesTCP(t, c)
		if err := c.Close(testContext(t), 1000, ""); err != nil {
			t.Error(err)
		}
		c.CloseNow()

		p = startProxy(t, kind, addr, "")
		p.early = "HTTP/1.1 401 Go Away\r\nContent-Length: 0\r\n\r\n"
		_, err = Dial(testContext(t), "ws://example.com/", DialOptions{TLS: config, Proxy: p.through})
		var refused *StatusError
		if !errors.As(err, &refused) || refused.Code != 401 {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestProxyNotUsable(t *testing.T) {
	t.Parallel()
	failed := errors.New("no idea")
	for name, choose := range map[string]func(*url.URL) (*url.URL, error){
		"no idea":         func(*url.URL) (*url.URL, error) { return nil, failed },
		"must begin with": func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: "ftp", Host: "x"}, nil },
		"no host":         func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: "http"}, nil },
	} {
		if _, err := Dial(testContext(t), "ws://example.com/", DialOptions{Proxy: choose}); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nil is none.
	addr, _ := echoServer(t, "ws")
	works(t, dialed(t, "ws://"+addr, DialOptions{Proxy: func(*url.URL) (*url.URL, error) { return nil, nil }}))
}

// dialed connects, and does not discard what the server sends.
func dialed(t *testing.T, url string, o DialOptions) *Conn {
	t.Helper()
	c, err := Dial(testContext(t), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseNow)
	return c
}

// IPv6 addresses in URLs, of servers and of proxies.
func TestIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("SKIPPED: no IPv6 on this machine: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, AcceptOptions{})
		if err != nil {
			return
		}
		defer c.CloseNow()
		echo(c)
	}))
	server.Listener.Close()
	server.Listener = l
	server.StartTLS()
	t.Cleanup(server.Close)
	target := "wss://" + l.Addr().String() + "/in"
	works(t, dialed(t, target, DialOptions{TLS: trusted()}))
	for _, kind := range []string{"http", "https", "socks5"} {
		p := startProxyAt(t, "[::1]:0", kind, l.Addr().String(), "")
		works(t, dialed(t, target, DialOptions{TLS: trusted(), Proxy: p.through}))
		if got, want := p.requests(), "["+l.Addr().String()+"]"; got != want {
			t.Errorf("%s: asked for %s, want %s", kind, got, want)
		}
	}
}
