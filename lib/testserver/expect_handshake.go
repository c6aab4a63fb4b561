package testserver

import (
	"fmt"
	"net/http"
	"net/textproto"
	"path"
	"slices"
	"strings"
)

// conns is about how many connections came. Unlike other expectations it can hold when none did.
type conns struct {
	path   string
	n      int64
	orMore bool
}

// ExpectConns expects exactly n connections with the path ("": any), or with orMore at least n.
func ExpectConns(path string, n int64, orMore bool) Expectation { return &conns{path, n, orMore} }

func (c *conns) Name() string { return "conns" }
func (c *conns) Path() string { return c.path }

func (c *conns) Watch(path string) Observer {
	if c.path != "" && c.path != path {
		return nil
	}
	return unwatched{}
}

func (c *conns) Judge(seen []Result) (ok bool, detail string) {
	noun := "connections"
	if c.path != "" {
		noun += " with the path " + c.path
	}
	detail = miscounted(noun, int64(len(seen)), c.n, c.orMore, "")
	return detail == "", detail
}

// ExpectPath expects the path of each connection to match the pattern (path.Match: * does not match a slash).
func ExpectPath(pattern string) (Expectation, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q is no pattern: %w", pattern, err)
	}
	return &each{"path", "", func() Observer { return unwatched{} }, func(s Result) string {
		if ok, _ := path.Match(pattern, s.Path); ok {
			return ""
		}
		return fmt.Sprintf("the path is %s, which does not match %s", s.Path, pattern)
	}}, nil
}

// secretHeaders are not repeated in a report.
var secretHeaders = []string{"Authorization", "Cookie", "Proxy-Authorization"}

// ExpectHeader expects the handshake of each connection with the path ("": any) to have a header with this value.
func ExpectHeader(path, name, value string) (Expectation, error) {
	name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
	if name == "" {
		return nil, fmt.Errorf("a header needs a name")
	}
	value = strings.TrimSpace(value)
	return &each{"header", path, func() Observer { return unwatched{} }, func(s Result) string {
		return wrongHeader(s.header, name, value)
	}}, nil
}

func wrongHeader(h http.Header, name, want string) string {
	came := h.Values(name)
	switch {
	case slices.Contains(came, want):
		return ""
	case len(came) == 0:
		return "there is no header " + name
	case slices.Contains(secretHeaders, name):
		return "the header " + name + " has another value (it may be secret: neither is shown)"
	}
	return fmt.Sprintf("the header %s is %q, not %q", name, strings.Join(came, ", "), want)
}
