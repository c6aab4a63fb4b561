package ingest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/timdrysdale/vw/lib/access"
)

// places are where a publisher may show its token.
var places = []access.Place{access.BasicPassword, access.Bearer, access.FirstPathElement}

// authorize returns the token that the request shows, or why its sender may not publish. Without tokens everybody may,
// but for web pages of other hosts.
func (s *Server) authorize(r *http.Request) (access.Token, *response) {
	if s.o.Tokens == nil {
		if !s.o.AllowCrossOrigin && (access.Hosts{}).CrossOrigin(r) {
			return access.Token{}, &forbiddenOrigin
		}
		return access.Token{}, nil
	}
	token, ok := s.o.Tokens.Match(r, places...)
	if !ok {
		return access.Token{}, &noToken
	}
	return token, nil
}

// maxLoggedPath is how much of a path is logged, in bytes.
const maxLoggedPath = 200

// loggablePath returns a publisher's path as it may be logged. With tokens, only its last element is shown, if there
// are two or more and it is no token. The query is never shown.
func (s *Server) loggablePath(r *http.Request) string {
	path := r.URL.Path
	if s.o.Tokens != nil {
		// The path is split before its elements are decoded, since a token may hold a slash.
		first, rest, _ := strings.Cut(strings.TrimLeft(r.URL.EscapedPath(), "/"), "/")
		last, err := url.PathUnescape(rest[strings.LastIndex(rest, "/")+1:])
		switch {
		case first == "":
			path = "/"
		case err != nil || rest == "" || s.o.Tokens.Known(last):
			path = "/…"
		default:
			path = "/…/" + last
		}
	}
	if len(path) > maxLoggedPath {
		path = strings.ToValidUTF8(path[:maxLoggedPath], "") + "…" // the cut may fall into a rune
	}
	return path
}
