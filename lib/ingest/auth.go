package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// authorizer decides who may publish.
type authorizer struct {
	token            string // "": everybody
	sum              [sha256.Size]byte
	allowCrossOrigin bool // without a token: web pages of other hosts too
}

func newAuthorizer(o Options) authorizer {
	return authorizer{token: o.Token, sum: sha256.Sum256([]byte(o.Token)), allowCrossOrigin: o.AllowCrossOrigin}
}

// refusal returns why the sender of the request may not publish; nil if it may.
func (g *authorizer) refusal(r *http.Request) *response {
	switch {
	case g.token != "" && !g.hasToken(r):
		return &noToken
	case g.token == "" && !g.allowCrossOrigin && crossOrigin(r):
		return &forbiddenOrigin
	}
	return nil
}

// hasToken reports whether the request brings the token: as a Bearer token, as the password of Basic, or as the first
// element of the path.
func (g *authorizer) hasToken(r *http.Request) bool {
	if _, password, ok := r.BasicAuth(); ok && g.matches(password) {
		return true
	}
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") && g.matches(strings.TrimSpace(value)) {
		return true
	}
	// The path is taken apart before it is decoded, so that a token may hold a slash.
	first, _, _ := strings.Cut(strings.TrimLeft(r.URL.EscapedPath(), "/"), "/")
	first, err := url.PathUnescape(first)
	return err == nil && g.matches(first)
}

// crossOrigin reports whether a browser sends the request for a page that another host has served. A browser lets any page
// reach the machine it runs on, and names the page's host in Origin, or says "null" (RFC 6454, 7). Whose name a host has
// may have it lead here for a moment (DNS rebinding), so only an address and localhost are known to be the same.
func crossOrigin(r *http.Request) bool {
	origin := r.Header.Values("Origin")
	if len(origin) == 0 {
		return false
	}
	u, err := url.Parse(origin[0])
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return net.ParseIP(u.Hostname()) == nil && !strings.EqualFold(u.Hostname(), "localhost")
}

// matches compares hashes, so that the time it takes says nothing of the token, nor of its length.
func (g *authorizer) matches(candidate string) bool {
	sum := sha256.Sum256([]byte(candidate))
	return subtle.ConstantTimeCompare(sum[:], g.sum[:]) == 1
}

// maxLoggedPath is how much of a path is logged, in bytes.
const maxLoggedPath = 200

// loggable is a path without the token in it. The query is never logged.
func (g *authorizer) loggable(path string) string {
	if g.token != "" {
		path = strings.ReplaceAll(path, g.token, "***")
	}
	if len(path) > maxLoggedPath {
		path = path[:maxLoggedPath] + "…"
	}
	return path
}
