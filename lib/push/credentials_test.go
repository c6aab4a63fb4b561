package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// authority signs clients' certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, cert: &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}}
	var der []byte
	der, a.key = a.sign(a.cert, "authority", nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate, signed by signer or by itself.
func (a *authority) sign(template *x509.Certificate, name string, signer *ecdsa.PrivateKey) ([]byte,
	*ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent := a.cert
	if signer == nil {
		signer, parent = key, template
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// client writes a client's certificate and key.
func (a *authority) client(name, certFile, keyFile string) {
	a.t.Helper()
	der, key := a.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, name, a.key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, certFile, "CERTIFICATE", der)
	writePEM(a.t, keyFile, "PRIVATE KEY", pkcs8)
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestClientCertificates: a server that wants one gets it, and what is in the file at the time of the dial.
func TestClientCertificates(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	names := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		names <- r.TLS.PeerCertificates[0].Subject.CommonName
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	s.TLS.ClientCAs.AddCert(ours.cert)
	s.StartTLS()
	t.Cleanup(s.Close)

	folder := t.TempDir()
	ca, cert, key := filepath.Join(folder, "ca"), filepath.Join(folder, "cert"), filepath.Join(folder, "key")
	writePEM(t, ca, "CERTIFICATE", s.Certificate().Raw)
	o, _ := options("wss" + strings.TrimPrefix(s.URL, "https") + "/x")
	o.Credentials.CA = ca
	d := newDestination(o.URLs[0], &o, false)
	dial := func() error {
		conn, err := d.dial(soon(t))
		if err == nil {
			conn.CloseNow()
		}
		return err
	}

	refused := func(who string) {
		t.Helper()
		err := dial()
		if err == nil || !slowRetry(err) || !strings.Contains(Hint(err), "--cert") {
			t.Errorf("%s: %v, hint %q, permanent %v", who, err, Hint(err), slowRetry(err))
		}
	}
	refused("without a certificate")
	o.Credentials.Cert, o.Credentials.Key = cert, key
	theirs.client("stranger", cert, key)
	refused("with a stranger's certificate")
	for _, name := range []string{"first", "renewed"} {
		ours.client(name, cert, key)
		if err := dial(); err != nil {
			t.Fatal(err)
		}
		if got := <-names; got != name {
			t.Errorf("the server saw the certificate of %q, want %q", got, name)
		}
	}
}
