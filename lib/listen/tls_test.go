package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign("authority")
	return a
}

// sign makes a certificate, for itself if there is none yet.
func (a *authority) sign(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, BasicConstraintsValid: true, IsCA: a.cert == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// pair writes a certificate with its key to two files.
func (a *authority) pair(dir, name string) (certFile, keyFile string) {
	a.t.Helper()
	cert, key := a.sign(name)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(a.t, certFile, "CERTIFICATE", cert.Raw)
	writePEM(a.t, keyFile, "EC PRIVATE KEY", der)
	return certFile, keyFile
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// handshake connects, and returns the name in the server's certificate.
func handshake(t *testing.T, server, client *tls.Config) (string, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = tls.Server(conn, server).Write([]byte("x"))
	}()
	defer func() { <-done }()
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil { // TLS 1.3 refuses a client after its handshake
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestTLSFollowsItsFiles(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.pair(dir, "first")
	var log bytes.Buffer
	files, err := OpenTLS(TLSFiles{Cert: cert, Key: key}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	server, client := files.Config(), &tls.Config{InsecureSkipVerify: true}
	expect := func(want string) {
		t.Helper()
		if name, err := handshake(t, server, client); name != want {
			t.Errorf("certificate of %q, not %q: %v", name, want, err)
		}
	}
	expect("first")
	ca.pair(dir, "second")
	expect("second")
	writePEM(t, cert, "CERTIFICATE", []byte("nonsense"))
	expect("second")
	files.Reload()
	expect("second")
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("a bad certificate is reported %d times:\n%s", n, &log)
	}
	ca.pair(dir, "third")
	files.Reload()
	expect("third")
}

func TestTLSVersions(t *testing.T) {
	cert, key := newAuthority(t).pair(t.TempDir(), "server")
	files, err := OpenTLS(TLSFiles{Cert: cert, Key: key}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const cbc = tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
	for _, c := range []struct {
		name   string
		client *tls.Config
		ok     bool
	}{
		{"1.3", &tls.Config{}, true},
		{"1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"1.2 with CBC only", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{cbc}}, false},
		{"1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
	} {
		c.client.InsecureSkipVerify = true
		if _, err := handshake(t, files.Config(), c.client); (err == nil) != c.ok {
			t.Errorf("TLS %s: %v", c.name, err)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	dir, ca, foreign := t.TempDir(), newAuthority(t), newAuthority(t)
	cert, key := ca.pair(dir, "server")
	caFile := filepath.Join(dir, "ca.pem")
	writePEM(t, caFile, "CERTIFICATE", ca.cert.Raw)
	files, err := OpenTLS(TLSFiles{Cert: cert, Key: key, ClientCA: caFile}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := files.Config()
	try := func(what string, by *authority, ok bool) {
		t.Helper()
		client := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if by != nil {
			c, k := by.sign("client")
			client.Certificates = []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: k}}
		}
		if _, err := handshake(t, server, client); (err == nil) != ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	try("no certificate", nil, false)
	try("one of another authority", foreign, false)
	try("one of the authority", ca, true)
	writePEM(t, caFile, "CERTIFICATE", foreign.cert.Raw)
	try("one of an authority that is gone", ca, false)
	try("one of the new authority", foreign, true)

	writePEM(t, caFile, "OTHER", nil)
	if _, err := OpenTLS(TLSFiles{Cert: cert, Key: key, ClientCA: caFile}, nil); err == nil {
		t.Error("a file without certificates is taken")
	}
}
