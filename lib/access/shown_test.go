package access

import (
	"net/http"
	"testing"
)

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		place  Place
		target string
		header string
		value  string
		shown  string
	}{
		{Bearer, "/", "Authorization", "Bearer abc", "abc"},
		{Bearer, "/", "Authorization", "bearer   abc ", "abc"},
		{Bearer, "/", "Authorization", "Basic abc", ""},
		{Bearer, "/", "Authorization", "Bearer", ""},
		{BasicPassword, "/", "Authorization", "Basic YW55OmFiYw==", "abc"},
		{BasicPassword, "/", "Authorization", "Bearer abc", ""},
		{FirstPathElement, "/abc", "", "", "abc"},
		{FirstPathElement, "/abc/cam1", "", "", "abc"},
		{FirstPathElement, "//abc/cam1", "", "", "abc"},
		{FirstPathElement, "/a%2Fb/cam1", "", "", "a/b"},
		{FirstPathElement, "/", "", "", ""},
		{QueryToken, "/?token=abc", "", "", "abc"},
		{QueryToken, "/?a=b&token=a%20c", "", "", "a c"},
		{QueryToken, "/?tokens=abc", "", "", ""},
		{SubprotocolToken, "/", "Sec-WebSocket-Protocol", "stream, token.abc", "abc"},
		{SubprotocolToken, "/", "Sec-WebSocket-Protocol", "token.abc", "abc"},
		{SubprotocolToken, "/", "Sec-WebSocket-Protocol", "tokenabc", ""},
		{AgreedSubprotocol, "/", "Sec-WebSocket-Protocol", "token.abc, null , stream", "null"},
		{AgreedSubprotocol, "/", "Sec-WebSocket-Protocol", "token.abc", "token.abc"},
		{AgreedSubprotocol, "/", "Sec-WebSocket-Protocol", "a b, stream", "stream"},
		{AgreedSubprotocol, "/", "", "", ""},
	} {
		r, err := http.NewRequest("GET", "http://host"+c.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		if got := c.place(r); got != c.shown {
			t.Errorf("%s, %s: %s: %q, not %q", c.target, c.header, c.value, got, c.shown)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	for _, c := range []struct {
		host   string
		origin string
		site   string // Sec-Fetch-Site
		hosts  Hosts
		cross  bool
	}{
		{host: "127.0.0.1:8081"},
		{host: "anything.example"}, // no browser
		{host: "127.0.0.1:8081", origin: "http://127.0.0.1:8081"},
		{host: "[::1]:8081", origin: "http://[::1]:8081"},
		{host: "localhost:8081", origin: "http://LOCALHOST:8081"},
		{host: "127.0.0.1:8081", origin: "http://127.0.0.1:8082", cross: true},
		{host: "127.0.0.1:8081", origin: "http://evil.example", cross: true},
		{host: "evil.example", origin: "http://evil.example", cross: true}, // DNS rebinding
		{host: "127.0.0.1:8081", origin: "null", cross: true},
		{host: "127.0.0.1:8081", origin: "%", cross: true},
		{host: "127.0.0.1:8081", site: "cross-site", cross: true},
		{host: "127.0.0.1:8081", site: "same-origin"},
		{host: "127.0.0.1:8081", site: "none"},
		{host: "cam.example", origin: "https://cam.example", hosts: Hosts{"cam.example"}},
		{host: "127.0.0.1:8081", origin: "https://cam.example", hosts: Hosts{"cam.example"}},
		{host: "127.0.0.1:8081", origin: "https://cam.example", site: "cross-site", hosts: Hosts{"cam.example"}},
		{host: "127.0.0.1:8081", origin: "https://cam.example:1", hosts: Hosts{"cam.example"}},
		{host: "127.0.0.1:8081", origin: "https://cam.example:1", hosts: Hosts{"cam.example:2"}, cross: true},
	} {
		r, _ := http.NewRequest("POST", "http://"+c.host+"/", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if got := c.hosts.CrossOrigin(r); got != c.cross {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestKnownHosts(t *testing.T) {
	hosts := Hosts{"cam.example", "other.example:8082"}
	for host, known := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8082": true, "[::1]": true, "[::1]:8082": true, "10.1.2.3:1": true,
		"localhost":   true,
		"localhost:1": true, "Cam.Example": true, "cam.example:1": true, "other.example:8082": true,
		"other.example": false,
		"":              false, "evil.example": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"cam.example.": false,
	} {
		if hosts.Known(host) != known {
			t.Errorf("%q: %v", host, !known)
		}
	}
}
