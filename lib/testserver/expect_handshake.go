package testserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"path"
	"slices"
	"strings"
)

// ExpectPath expects the path of each connection to match the pattern (path.Match: * does not match a slash).
func ExpectPath(pattern string) (Expectation, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return &each{"path", "", observeNothing, func(r Result) string {
		if ok, _ := path.Match(pattern, r.Path); ok {
			return ""
		}
		return fmt.Sprintf("the path is %s, which does not match %s", r.Path, pattern)
	}}, nil
}

// secretHeaders are not repeated in a report.
var secretHeaders = []string{"Authorization", "Cookie", "Proxy-Authorization"}

// ExpectHeader expects the handshake of each connection with the path ("": any) to have a header with this value.
func ExpectHeader(path, name, value string) (Expectation, error) {
	name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
	if name == "" {
		return nil, errors.New("the header has no name")
	}
	value = strings.TrimSpace(value)
	return &each{"header", path, observeNothing, func(r Result) string {
		return headerMismatch(r.header, name, value)
	}}, nil
}

func headerMismatch(h http.Header, name, want string) string {
	came := h.Values(name)
	switch {
	case slices.Contains(came, want):
		return ""
	case len(came) == 0:
		return "there is no header " + name
	case slices.Contains(secretHeaders, name):
		return "the header " + name + " has another value (neither is shown, they may be secret)"
	}
	return fmt.Sprintf("the header %s is %q, not %q", name, strings.Join(came, ", "), want)
}
