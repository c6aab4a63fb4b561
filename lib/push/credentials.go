package push

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/timdrysdale/vw/lib/wsconn"
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
	return wsconn.TLSFiles{CA: c.CA, Cert: c.Cert, Key: c.Key, Insecure: c.Insecure}.Config()
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
