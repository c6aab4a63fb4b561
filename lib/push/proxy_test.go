package push

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestProxyRefuses: the proxy that the options choose is asked, and what a user can do about its answer is said.
func TestProxyRefuses(t *testing.T) {
	for code, want := range map[int]struct {
		permanent bool
		hint      string
	}{
		401: {true, "user and password"},
		403: {true, "must allow CONNECT"},
		405: {true, "must allow CONNECT"},
		407: {true, "user and password"},
		502: {false, "NO_PROXY"},
	} {
		asked := make(chan string, 1)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Method + " " + r.Host
			w.WriteHeader(code)
			io.WriteString(w, "no")
		}))
		o, _ := options("ws://relay.test/x")
		o.Proxy = func(*url.URL) (*url.URL, error) { return url.Parse(s.URL) }
		_, err := newDestination(o.URLs[0], &o, false).dial(soon(t))
		s.Close()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("through the proxy %s: the proxy answered %d",
			s.URL, code)) {
			t.Fatal(err)
		}
		if got := <-asked; got != "CONNECT relay.test:80" {
			t.Errorf("the proxy was asked to %s", got)
		}
		if slowRetry(err) != want.permanent || !strings.Contains(Hint(err), want.hint) {
			t.Errorf("%d: permanent %v, hint %q", code, slowRetry(err), Hint(err))
		}
	}
}
