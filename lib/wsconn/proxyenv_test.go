package wsconn

import (
	"net/url"
	"strings"
	"testing"
)

func TestProxyFromEnv(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, target, want string }{
		{"", "ws://far.test/", ""},
		{"HTTP_PROXY=http://a:1", "ws://far.test/", "http://a:1"},
		{"HTTP_PROXY=http://a:1", "wss://far.test/", ""},
		{"HTTPS_PROXY=http://a:1", "wss://far.test/", "http://a:1"},
		{"HTTPS_PROXY=http://a:1", "ws://far.test/", ""},
		{"http_proxy=a:1 HTTP_PROXY=http://b:1", "ws://far.test/", "http://a:1"},
		{"https_proxy=https://u:p%2F@a", "wss://far.test/", "https://u:p%2F@a"},
		{"ALL_PROXY=socks5://a:1", "ws://far.test/", "socks5://a:1"},
		{"all_proxy=socks5h://a:1 HTTP_PROXY=b:1", "wss://far.test/", "socks5h://a:1"},
		{"ALL_PROXY=socks5h://a:1 HTTP_PROXY=b:1", "ws://far.test/", "http://b:1"},
		{"ALL_PROXY=http://[::1]:3", "ws://far.test/", "http://[::1]:3"},
		{"ALL_PROXY=socks4://a HTTP_PROXY=b HTTPS_PROXY=c", "wss://far.test/", "http://c"}, // is not looked at

		{"ALL_PROXY=a NO_PROXY=far.test", "ws://far.test/", ""},
		{"ALL_PROXY=a NO_PROXY=far.test", "ws://very.far.test/", ""},
		{"ALL_PROXY=a NO_PROXY=far.test", "ws://notfar.test/", "http://a"},
		{"ALL_PROXY=a no_proxy=.far.test", "wss://far.test/", "http://a"},
		{"ALL_PROXY=a NO_PROXY=far.test:443", "wss://far.test/", ""}, // the scheme's port
		{"ALL_PROXY=a NO_PROXY=far.test:443", "ws://far.test/", "http://a"},
		{"ALL_PROXY=a NO_PROXY=10.0.0.0/8", "ws://10.1.2.3:8081/", ""},
		{"ALL_PROXY=a NO_PROXY=10.0.0.0/8", "ws://11.1.2.3:8081/", "http://a"},
		{"ALL_PROXY=a NO_PROXY=*", "ws://far.test/", ""},
		{"ALL_PROXY=a", "ws://localhost:8081/", ""},
		{"ALL_PROXY=a", "ws://[::1]:8081/", ""},
	} {
		choose, err := ProxyFromEnv(environment(c.env))
		if err != nil {
			t.Errorf("%s: %v", c.env, err)
			continue
		}
		target, _ := url.Parse(c.target)
		got, err := choose(target)
		if err != nil {
			t.Errorf("%s: %v", c.env, err)
		}
		text := ""
		if got != nil {
			text = got.String()
		}
		if text != c.want {
			t.Errorf("%s: %s goes through %q, want %q", c.env, c.target, text, c.want)
		}
	}
}

func TestProxyFromEnvRefuses(t *testing.T) {
	t.Parallel()
	for _, env := range []string{
		"HTTPS_PROXY=http://us:s3cr3t/@a:1", "HTTPS_PROXY=http://us:1/s3cr3t@a:1", "HTTPS_PROXY=us:s3cr3t#x@a:1",
		"HTTPS_PROXY=http://us:s3cr3t@:80",
		"HTTPS_PROXY=http://us:s3cr3t%zz@a", "HTTPS_PROXY=socks4://us:s3cr3t@a", "HTTPS_PROXY=socks5://:s3cr3t@a",
		"HTTPS_PROXY=socks5://us:s3cr3t" + strings.Repeat("x", 255) + "@a", "HTTPS_PROXY=http://", "HTTPS_PROXY=:80",
		"HTTPS_PROXY=s3cr3t://a", "HTTPS_PROXY=http://a:s3cr3t", "HTTPS_PROXY=/s3cr3t",
	} {
		for _, name := range []string{"HTTPS_PROXY", "http_proxy", "ALL_PROXY"} {
			_, err := ProxyFromEnv(environment(name + env[len("HTTPS_PROXY"):]))
			if err == nil || !strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s as %s: %v", env, name, err)
			}
		}
	}
	// As in a CGI script, where a header of the request would be HTTP_PROXY.
	choose, err := ProxyFromEnv(environment("REQUEST_METHOD=GET HTTP_PROXY=http://evil.test"))
	if err != nil {
		t.Fatal(err)
	}
	if u, err := choose(&url.URL{Scheme: "ws", Host: "far.test"}); err == nil {
		t.Errorf("HTTP_PROXY was used in CGI: %v", u)
	}
}

// environment has the variables of a text such as "A=1 B=2".
func environment(text string) func(string) string {
	variables := map[string]string{}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		variables[name] = value
	}
	return func(name string) string { return variables[name] }
}
