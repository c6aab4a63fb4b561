package access

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A Place is where a request may show a token: it returns what stands there, or "".
type Place func(*http.Request) string

// Bearer is the token of Authorization: Bearer (RFC 6750, 2.1).
func Bearer(r *http.Request) string {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}

// BasicPassword is the password of Authorization: Basic (RFC 7617), with any user name.
func BasicPassword(r *http.Request) string {
	_, password, _ := r.BasicAuth()
	return password
}

// FirstPathElement is the first element of the path, which jsmpeg calls the secret.
func FirstPathElement(r *http.Request) string {
	// The path is split before it is decoded, so that a token may hold a slash.
	first, _, _ := strings.Cut(strings.TrimLeft(r.URL.EscapedPath(), "/"), "/")
	first, err := url.PathUnescape(first)
	if err != nil {
		return ""
	}
	return first
}

// QueryToken is the parameter "token" of the query.
func QueryToken(r *http.Request) string { return r.URL.Query().Get("token") }

// subprotocolPrefix begins a subprotocol that shows a token: a browser's websockets have no other header to show it in.
const subprotocolPrefix = "token."

// SubprotocolToken is XYZ where a websocket client offers the subprotocol token.XYZ.
func SubprotocolToken(r *http.Request) string {
	for _, p := range offered(r) {
		if token, ok := strings.CutPrefix(p, subprotocolPrefix); ok {
			return token
		}
	}
	return ""
}

// AgreedSubprotocol is the subprotocol to agree to, for servers that carry one kind of stream and take any name for it:
// the first one offered that shows no token, else the one that does; "" when none is offered.
func AgreedSubprotocol(r *http.Request) string {
	all := offered(r)
	for _, p := range all {
		if !strings.HasPrefix(p, subprotocolPrefix) {
			return p
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return ""
}

// offered lists the subprotocols that a client offers (RFC 6455, 11.3.4), without those that are no tokens of HTTP.
func offered(r *http.Request) (all []string) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.Trim(p, " \t"); httpguts.ValidHeaderFieldName(p) {
				all = append(all, p)
			}
		}
	}
	return all
}
