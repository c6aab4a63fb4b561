package wsconn

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// proxyServer is a CONNECT or SOCKS5 proxy. Whatever it is asked for, it connects to one address.
type proxyServer struct {
	url   *url.URL
	to    string // the address, host:port
	user  string // "user:password" that clients must give, or ""
	early string // sent together with the answer to CONNECT

	listener net.Listener
	running  sync.WaitGroup
	mu       sync.Mutex
	open     []net.Conn
	asked    []string // the addresses that clients asked for
	shown    int      // certificates of clients
}

// startProxy starts a proxy: http, https (with the certificate of httptest), socks5 or socks5h.
func startProxy(t testing.TB, scheme, to, user string) *proxyServer {
	return startProxyAt(t, "127.0.0.1:0", scheme, to, user)
}

func startProxyAt(t testing.TB, addr, scheme, to, user string) *proxyServer {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxyServer{url: &url.URL{Scheme: scheme, Host: l.Addr().String()}, to: to, user: user, listener: l}
	if scheme == "https" {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS()
		s.Close()
		p.listener = tls.NewListener(l, &tls.Config{
			Certificates: s.TLS.Certificates,
			ClientAuth:   tls.RequestClientCert,
			VerifyConnection: func(state tls.ConnectionState) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.shown += len(state.PeerCertificates)
				return nil
			},
		})
	}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *proxyServer) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.keep(conn)
		p.running.Go(func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			serve := p.connect
			if p.url.Scheme[0] == 's' {
				serve = p.socks
			}
			if serve(conn, r) == nil {
				p.carry(conn, r)
			}
		})
	}
}

func (p *proxyServer) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, c)
}

// through makes all dials go through the proxy.
func (p *proxyServer) through(*url.URL) (*url.URL, error) { return p.url, nil }

// requests returns what clients asked for.
func (p *proxyServer) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.asked)
}

func (p *proxyServer) ask(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, addr)
}

// carry copies both ways, until either end closes.
func (p *proxyServer) carry(conn net.Conn, r io.Reader) {
	to, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	p.keep(to)
	p.running.Go(func() {
		io.Copy(conn, to)
		conn.Close()
	})
	io.Copy(to, r)
	to.Close()
}

func (p *proxyServer) connect(conn net.Conn, r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	if req.Method != http.MethodConnect || req.Host != req.RequestURI || req.Header.Get("Authorization") != "" {
		io.WriteString(conn, "HTTP/1.1 400 What Is This\r\nContent-Length: 0\r\n\r\n")
		return errors.New("no good CONNECT")
	}
	login := &http.Request{Header: http.Header{"Authorization": req.Header["Proxy-Authorization"]}}
	if user, password, _ := login.BasicAuth(); p.user != "" && user+":"+password != p.user {
		io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n"+
			"Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 10\r\n\r\nwho\r\nare u?")
		return errors.New("wrong user")
	}
	p.ask(req.RequestURI)
	_, err = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"+p.early)
	return err
}

// socks is RFC 1928, for connections to names and IPv4 addresses, and RFC 1929.
func (p *proxyServer) socks(conn net.Conn, r *bufio.Reader) error {
	field := func() string { // a length, and as many bytes
		n, err := r.ReadByte()
		if err != nil {
			return ""
		}
		b := make([]byte, n)
		io.ReadFull(r, b)
		return string(b)
	}
	r.ReadByte()
	field()
	if p.user == "" {
		conn.Write([]byte{5, 0})
	} else {
		conn.Write([]byte{5, 2})
		r.ReadByte()
		user, password := field(), field()
		if user+":"+password != p.user {
			conn.Write([]byte{1, 1})
			return errors.New("wrong user")
		}
		conn.Write([]byte{1, 0})
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	var host string
	switch head[3] {
	case 1, 4:
		ip := make(net.IP, map[byte]int{1: 4, 4: 16}[head[3]])
		io.ReadFull(r, ip)
		host = ip.String()
	case 3:
		host = field()
	}
	port := make([]byte, 2)
	io.ReadFull(r, port)
	p.ask(net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port))))
	_, err := conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return err
}
