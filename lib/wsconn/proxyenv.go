package wsconn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// ProxyFromEnv returns the choice that an environment makes, for DialOptions.Proxy: HTTP_PROXY for ws, HTTPS_PROXY for
// wss, ALL_PROXY where these are not set, and no proxy for hosts in NO_PROXY (see httpproxy.Config) and on loopback. A
// name in lower case comes before the one in upper case. A proxy without a scheme is an HTTP proxy. The error about a
// proxy that cannot be used names its variable.
func ProxyFromEnv(getenv func(name string) string) (func(*url.URL) (*url.URL, error), error) {
	_, noProxy := lookupEnv(getenv, "no_proxy")
	config := httpproxy.Config{NoProxy: noProxy, CGI: getenv("REQUEST_METHOD") != ""}
	for own, proxy := range map[string]*string{"http_proxy": &config.HTTPProxy, "https_proxy": &config.HTTPSProxy} {
		name, value := lookupEnv(getenv, own, "all_proxy")
		if value == "" {
			continue
		}
		u, err := parseProxy(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*proxy = u.String()
	}
	choose := config.ProxyFunc()
	return func(target *url.URL) (*url.URL, error) {
		scheme := map[string]string{"ws": "http", "wss": "https"}[target.Scheme]
		return choose(&url.URL{Scheme: scheme, Host: target.Host})
	}, nil
}

// lookupEnv returns the first of the variables that is not empty. The names are given in lower case.
func lookupEnv(getenv func(string) string, names ...string) (name, value string) {
	for _, lower := range names {
		for _, name := range []string{lower, strings.ToUpper(lower)} {
			if value := getenv(name); value != "" {
				return name, value
			}
		}
	}
	return "", ""
}

func parseProxy(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a valid URL of a proxy") // err quotes it
	}
	return u, checkProxy(u)
}
