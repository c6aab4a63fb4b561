package viewer

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/viewer/page"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	name, token, based := s.route(r)
	public := name == "healthz" || strings.HasPrefix(name, "assets/")
	switch {
	case s.o.Tokens != nil && token == nil && !public:
		h.Set("WWW-Authenticate", "Bearer")
		if s.askForToken(w, r, name) {
			return
		}
		s.refuse(w, r, http.StatusUnauthorized, access.BadToken,
			"show a token: as the first element of the path, ?token=, or Bearer")
	case s.o.Tokens == nil && !public && name != "metrics" && !s.o.Hosts.Known(r.Host):
		s.refuse(w, r, http.StatusForbidden, access.BadHost,
			"this server is asked for by a name that it does not know: give vw-push --origin with the name;"+
				" behind a proxy that has another name, let it pass the name on (nginx: proxy_set_header Host $host)")
	case s.o.Tokens == nil && !public && name != "metrics" && s.o.Hosts.CrossOrigin(r):
		s.refuse(w, r, http.StatusForbidden, access.BadOrigin,
			"a web page of another host asks: give vw-push --origin with that host")
	case isWebsocket(r) && !reserved(name):
		s.serveStream(w, r, token)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case based && !strings.HasSuffix(r.URL.Path, "/") && name == "":
		// The page's URLs are relative to its own. This one is too, so that nothing in it is taken for a host.
		h.Set("Location", "./"+strings.TrimLeft(r.URL.EscapedPath(), "/")+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
	default:
		s.serveName(w, r, name, based)
	}
}

// reserved reports whether a name is never the stream.
func reserved(name string) bool {
	switch name {
	case "embed", "stream.json", "healthz", "metrics":
		return true
	}
	return strings.HasPrefix(name, "assets/")
}

// route returns what the request is for, relative to the base path, and the token that it shows, if there is one. based
// says that the token is the first element of the path.
func (s *Server) route(r *http.Request) (name string, token *access.Token, based bool) {
	name = strings.TrimLeft(r.URL.Path, "/")
	if s.o.Tokens == nil {
		return name, nil, false
	}
	if t, ok := s.o.Tokens.Match(r, access.FirstPathElement); ok {
		_, rest, _ := strings.Cut(strings.TrimLeft(r.URL.EscapedPath(), "/"), "/")
		return rest, &t, true // no reserved name has a character that is escaped
	}
	if t, ok := s.o.Tokens.Match(r, access.Bearer, access.QueryToken, access.SubprotocolToken); ok {
		token = &t
	}
	return name, token, false
}

// serveName answers a GET of what is no websocket.
func (s *Server) serveName(w http.ResponseWriter, r *http.Request, name string, tokenInPath bool) {
	h := w.Header()
	v := page.Visit{TokenInPath: tokenInPath}
	switch name {
	case "healthz":
		s.serveHealth(w)
		return
	case "stream.json":
		h.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.hub.status())
		return
	case "metrics":
		s.serveMetrics(w)
		return
	case "embed":
		h.Set("Content-Security-Policy", page.CSP+"; frame-ancestors "+s.frameAncestors())
		v.Stream = s.hasten(w)
	case "":
		h.Set("Content-Security-Policy", page.CSP+"; frame-ancestors 'none'")
		v.Stream = s.hasten(w)
	default:
		h.Set("Content-Security-Policy", page.CSP+"; frame-ancestors 'none'")
	}
	if !s.o.Page.ServeFile(w, r, name, v) {
		http.Error(w, "there is nothing here but for websockets", http.StatusNotFound)
	}
}

// hasten spares the page what it would have to ask for before the first picture: it returns what the stream is, and
// names the player in a header. Whoever has shown no token does not learn what the stream is.
func (s *Server) hasten(w http.ResponseWriter) []byte {
	if _, ok := w.(unauthorized); ok {
		return nil
	}
	status := s.hub.status()
	if link := s.o.Page.Preload(status.Player); link != "" {
		w.Header().Set("Link", link)
	}
	b, err := json.Marshal(status)
	if err != nil {
		return nil // the page asks
	}
	return b
}

// askForToken answers a browser that opens the page without a token with 401 and the page: it asks the user for one,
// or, when it is loaded again, has kept it. It returns false if something else is asked for.
func (s *Server) askForToken(w http.ResponseWriter, r *http.Request, name string) bool {
	if name != "" && name != "embed" || r.Method != http.MethodGet || isWebsocket(r) ||
		!strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	s.serveName(unauthorized{w}, r, name, false)
	return true
}

// unauthorized answers with 401 whatever is written.
type unauthorized struct{ http.ResponseWriter }

func (u unauthorized) Write(p []byte) (int, error) {
	u.WriteHeader(http.StatusUnauthorized)
	return u.ResponseWriter.Write(p)
}

// frameAncestors are the pages that may frame the picture, as a Content-Security-Policy has them.
func (s *Server) frameAncestors() string {
	if len(s.o.Hosts) == 0 {
		return "'none'"
	}
	all := make([]string, len(s.o.Hosts))
	for i, host := range s.o.Hosts {
		if all[i] = host; !hasPort(host) {
			all[i] += ":*" // as access.Hosts understands it
		}
	}
	return strings.Join(all, " ")
}

func hasPort(host string) bool {
	_, _, err := net.SplitHostPort(host)
	return err == nil
}

// serveHealth says whether the stream flows.
func (s *Server) serveHealth(w http.ResponseWriter) {
	status, text := http.StatusServiceUnavailable, "no stream\n"
	if s.hub.status().Live {
		status, text = http.StatusOK, "streaming\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that has gone needs no answer
}

// refuse answers a request that is not granted.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, reason access.Reason, text string) {
	addr, _ := access.Proxies(nil).Client(remoteAddr(r), r.Header)
	s.refusals.Refused(addr, reason)
	s.refused.add(status)
	w.Header().Set("Connection", "close")
	http.Error(w, text, status)
}

// remoteAddr is the address that a request comes from.
func remoteAddr(r *http.Request) net.Addr {
	addr, err := net.ResolveTCPAddr("tcp", r.RemoteAddr)
	if err != nil {
		return &net.UnixAddr{Net: "unix"}
	}
	return addr
}
