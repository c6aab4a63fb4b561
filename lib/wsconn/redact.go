package wsconn

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Redact returns the part of a websocket or HTTP URL that may be shown: scheme, host and the last element of the path,
// as in wss://host/…/cam1 (the elements before it may be a token), never userinfo, query or fragment. Of a URL that
// cannot be parsed beyond doubt, it returns only the scheme. Where the scheme was forgotten, it shows the same parts if
// the text can be no token: a host with a dot or a port, then a path.
func Redact(raw string) string {
	if !strings.Contains(raw, "://") {
		const scheme = "ws://"
		host, _, hasPath := strings.Cut(raw, "/")
		if !hasPath || !strings.ContainsAny(host, ".:") || strings.Contains(raw, "@") {
			return "…"
		}
		return strings.TrimPrefix(Redact(scheme+raw), scheme)
	}
	origin, path := shownParts(raw)
	if last := strings.LastIndexByte(path, '/'); last > 0 {
		path = "/…" + path[last:]
	}
	return origin + path
}

// shownParts returns the scheme and host of a URL, and its path.
func shownParts(raw string) (origin, path string) {
	scheme, _, _ := strings.Cut(raw, ":")
	scheme = strings.ToLower(scheme)
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, scheme) {
		return "…", ""
	}
	u, err := url.Parse(raw)
	// A password with an unescaped / ? or # ends the authority early: the @ then stands after it.
	if err != nil || u.Host == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return scheme + "://…", ""
	}
	return scheme + "://" + u.Host, u.EscapedPath()
}

// secrets are the strings of a request that no error or log line may contain.
type secrets []string

func requestSecrets(u *url.URL, h http.Header) secrets {
	var s secrets
	add := func(v string) {
		// Shorter ones are no secrets, and taking them out would only spoil the text.
		if len(v) >= 4 {
			s = append(s, v, url.QueryEscape(v), url.PathEscape(v))
		}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		add(u.User.String())
		add(u.User.Username())
		add(password)
		add(base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password)))
	}
	for dirs := strings.Split(u.Path, "/"); len(dirs) > 1; dirs = dirs[1:] {
		add(dirs[0])
	}
	add(u.RawQuery)
	for _, vs := range u.Query() {
		for _, v := range vs {
			add(v)
		}
	}
	for name, vs := range h {
		if name == "Host" || name == "User-Agent" || name == StreamHeader {
			continue
		}
		for _, v := range vs {
			add(v)
			if _, credentials, ok := strings.Cut(v, " "); ok {
				add(credentials)
			}
		}
	}
	slices.SortFunc(s, longestFirst)
	return s
}

// longestFirst is the order of secrets: else what contains another would be left in part.
func longestFirst(a, b string) int { return len(b) - len(a) }

// scrub takes the secrets out of a text.
func (s secrets) scrub(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return text
}

// excerpt makes a server's text fit for a line of an error: printable, on one line, 200 bytes at most.
func excerpt(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxExcerpt {
		text = strings.ToValidUTF8(text[:maxExcerpt], "")
	}
	return text
}

const maxExcerpt = 200

// CheckURL returns why a URL is none that can be dialled. It says nothing of the URL, which may hold a secret.
func CheckURL(raw string) error {
	_, err := parse(raw)
	return err
}
