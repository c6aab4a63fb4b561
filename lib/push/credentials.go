package push

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// Credentials are what a destination may ask for, and how it is trusted. Files are read at each dial, so that they can
// be renewed while a pusher runs.
type Credentials struct {
	// Token returns the bearer token; nil for none.
	Token func() (string, error)
	// CA is a file of PEM certificates to trust instead of the system's; "" for those.
	CA string
	// Cert and Key are PEM files of a client certificate; "" for none.
	Cert, Key string
	// Insecure trusts any server.
	Insecure bool
}

func (c Credentials) tls() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: c.Insecure}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: no certificate in it", c.CA)
		}
	}
	if c.Cert != "" || c.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// header returns a copy of base with the token added.
func (c Credentials) header(base http.Header) (http.Header, error) {
	header := base.Clone()
	if header == nil {
		header = http.Header{}
	}
	if c.Token == nil {
		return header, nil
	}
	token, err := c.Token()
	if err != nil {
		return nil, err
	}
	for _, b := range []byte(token) {
		if b < ' ' || b == 0x7F {
			return nil, errors.New("the token has control characters in it")
		}
	}
	header.Set("Authorization", "Bearer "+token)
	return header, nil
}
