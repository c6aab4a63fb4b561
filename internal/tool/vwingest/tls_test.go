package vwingest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (certFile, keyFile string, trust *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	save := func(name, kind string, der []byte) (string, []byte) {
		file, text := filepath.Join(folder, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file, text
	}
	certFile, text := save("cert.pem", "CERTIFICATE", der)
	keyFile, _ = save("key.pem", "PRIVATE KEY", keyDER)
	trust = &tls.Config{RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM(text)
	return certFile, keyFile, trust
}

// Over TLS all is as without: publishers of both kinds, refusals that are read, and plain HTTP gets nowhere.
func TestTLS(t *testing.T) {
	cert, key, trust := certificate(t)
	r := launch(t, []string{tokenVariable + "=s3cret"}, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(r.url, "https://127.0.0.1:") {
		t.Fatalf("the URL is %s", r.url)
	}
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust},
		Timeout: testTimeout}
	post := func(path string, body io.Reader) int {
		t.Helper()
		resp, err := client.Post(r.url+path, "", body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(r.stdout)
		got <- all
	}()
	if code := post("s3cret/cam", bytes.NewReader(body)); code != 204 {
		t.Error(code)
	}
	if code := post("wrong", io.LimitReader(neverEnding{}, 64<<20)); code != 401 {
		t.Error(code)
	}
	conn, err := wsconn.Dial(t.Context(), "wss"+strings.TrimPrefix(r.url, "https")+"s3cret",
		wsconn.DialOptions{TLS: trust})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(t.Context(), []byte("a message")); err != nil {
		t.Error(err)
	}
	if err := conn.Close(context.Background(), 1000, ""); err != nil {
		t.Error(err)
	}
	if resp, err := http.Post("http"+strings.TrimPrefix(r.url, "https"), "", strings.NewReader("x")); err == nil {
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("plain HTTP got %s", resp.Status)
		}
	}
	r.await("bytes=9")
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	r.end(0)
	if all := <-got; !bytes.Equal(all, append(body, "a message"...)) {
		t.Errorf("%d bytes came out, not %d", len(all), len(body)+9)
	}
}

// neverEnding is what a camera sends that is never cut.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }
