package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
)

// guard knows the token.
type guard struct {
	token string // "": everybody may publish
	sum   [sha256.Size]byte
}

func newGuard(token string) guard {
	return guard{token: token, sum: sha256.Sum256([]byte(token))}
}

// admits reports whether the request brings the token: as a Bearer token, as the password of Basic, or as the first
// element of the path.
func (g *guard) admits(r *http.Request) bool {
	if g.token == "" {
		return true
	}
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

// matches compares hashes, so that the time it takes says nothing of the token, nor of its length.
func (g *guard) matches(candidate string) bool {
	sum := sha256.Sum256([]byte(candidate))
	return subtle.ConstantTimeCompare(sum[:], g.sum[:]) == 1
}

// maxLoggedPath is how much of a path is logged, in bytes.
const maxLoggedPath = 200

// loggable is a path without the token in it. The query is never logged.
func (g *guard) loggable(path string) string {
	if g.token != "" {
		path = strings.ReplaceAll(path, g.token, "***")
	}
	if len(path) > maxLoggedPath {
		path = path[:maxLoggedPath] + "…"
	}
	return path
}
