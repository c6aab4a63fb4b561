package push

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// maxRetryAfter is the longest pause that a server may ask for.
const maxRetryAfter = 5 * time.Minute

// nextDial returns the pause before the dial that follows err: the back-off's, or longer where the server asks for it.
// To that it adds up to a quarter at random, so that those who were refused together do not come back together.
func nextDial(pause *backoff.Backoff, err error) time.Duration {
	next := pause.Next
	if slowRetry(err) {
		next = pause.NextSlow
	}
	wait, asked := next(), min(retryAfter(err), maxRetryAfter)
	return max(wait, asked+min(wait, asked/4))
}

// slowRetry reports whether an early retry is useless. A late one is not: people repair tokens and relays.
func slowRetry(err error) bool {
	var refused *wsconn.StatusError
	if errors.As(err, &refused) {
		switch refused.Code {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return true
		}
	}
	var proxy *wsconn.ProxyError
	if errors.As(err, &proxy) {
		switch proxy.Code {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
			return true
		}
	}
	return certInvalid(err) || clientCertRejected(err)
}

// certInvalid reports whether the server's certificate could not be verified.
func certInvalid(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname)
}

// clientCertRejected reports whether the server ended TLS because of the client's certificate, or for want of one.
// crypto/tls has no type for what a peer reports, only words.
func clientCertRejected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate")
}

// retryAfter returns the pause that the server asked for, or 0.
func retryAfter(err error) time.Duration {
	var refused *wsconn.StatusError
	if errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return 0
}

// Hint returns what a user can do about an error of a destination, or "".
func Hint(err error) string {
	var refused *wsconn.StatusError
	var proxy *wsconn.ProxyError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or the clock of this machine is wrong"
	case certInvalid(err):
		return "give the server's certificate authority with --ca"
	case clientCertRejected(err):
		return "the server wants a client certificate that it trusts: give it with --cert and --key"
	case errors.As(err, &proxy) && (proxy.Code == http.StatusProxyAuthRequired ||
		proxy.Code == http.StatusUnauthorized):
		return "put user and password into the proxy's URL, as http://user:password@host:port (only Basic is known)"
	case errors.As(err, &proxy):
		return "the proxy must allow CONNECT to this host and port, and reach it; NO_PROXY names hosts to reach " +
			"without it"
	case !errors.As(err, &refused):
		return ""
	case refused.Code == http.StatusUnauthorized || refused.Code == http.StatusForbidden:
		return "give the right token with --token-file or --header-file"
	case refused.Code >= 500 || refused.Code == http.StatusTooManyRequests:
		return "" // the user can only wait
	case refused.Location != "":
		return "vw-push follows no redirect, because the token must not go elsewhere: give the URL that it points to"
	}
	return "is there a websocket server at this path?"
}
