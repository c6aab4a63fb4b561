package wsconn

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// respond answers each handshake with the text.
func respond(t *testing.T, text string) string {
	return rawTCP(t, func(conn *net.TCPConn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, text)
	})
}

func TestStatusErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		want   StatusError
	}{
		"redirect": {
			"HTTP/1.1 302 Found\r\nLocation: wss://u:p@other.test/in?token=t\r\nContent-Length: 0\r\n\r\n",
			StatusError{Code: 302, Status: "302 Found", Location: "wss://other.test/in"},
		},
		"redirect that repeats the path": {
			"HTTP/1.1 301 Moved Permanently\r\nLocation: wss://other.test/s3cr3t/cam1\r\nContent-Length: 0\r\n\r\n",
			StatusError{Code: 301, Status: "301 Moved Permanently", Location: "wss://other.test/…/cam1"},
		},
		"relative redirect": {
			"HTTP/1.1 301 Moved Permanently\r\nLocation: http:///\r\n\r\n",
			StatusError{Code: 301, Status: "301 Moved Permanently", Location: "http://…"},
		},
		"redirect to what is no URL": {
			"HTTP/1.1 302 Found\r\nLocation: http://h/%zz?sig=s3cr3t\r\nContent-Length: 0\r\n\r\n",
			StatusError{Code: 302, Status: "302 Found"},
		},
		"401": {
			"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 13\r\n\r\nno\x1b[31m\r\n way",
			StatusError{Code: 401, Status: "401 Unauthorized", Body: "no[31m way"},
		},
		"503": {
			"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n" + strings.Repeat("x", 5000),
			StatusError{Code: 503, Status: "503 Busy", RetryAfter: 7 * time.Second, Body: strings.Repeat("x", 200)},
		},
		"200": {
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
			StatusError{Code: 200, Status: "200 OK", Body: "hi"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(testContext(t), respond(t, c.answer)+"/s3cr3t/x", DialOptions{})
			var got *StatusError
			if !errors.As(err, &got) || *got != c.want {
				t.Fatalf("%v (%+v)", err, got)
			}
		})
	}
}

func TestHeadersAreNotForwarded(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer other.Close()
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	_, err := Dial(testContext(t), "ws"+s.URL[len("http"):], DialOptions{})
	var got *StatusError
	if !errors.As(err, &got) || got.Code != 307 {
		t.Fatal(err)
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		http.Error(w, "", http.StatusTeapot)
	}))
	defer s.Close()
	host := s.URL[len("http://"):]

	Dial(testContext(t), "ws://us:p%40ss@"+host+"/a%20b?q=1", DialOptions{Header: http.Header{
		"X-Cam": {"7"}, "Sec-Websocket-Extensions": {"permessage-deflate"}}})
	r := <-requests
	if u, p, ok := r.BasicAuth(); !ok || u != "us" || p != "p@ss" {
		t.Errorf("basic auth %q %q", u, p)
	}
	if r.RequestURI != "/a%20b?q=1" || r.Host != host || r.Proto != "HTTP/1.1" || r.Header.Get("X-Cam") != "7" ||
		r.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%s %s %v", r.RequestURI, r.Host, r.Header)
	}

	Dial(testContext(t), "ws://us:pass@"+host, DialOptions{Header: http.Header{"Authorization": {"Bearer x"}}})
	if got := (<-requests).Header.Get("Authorization"); got != "Bearer x" {
		t.Errorf("authorization %q", got)
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"garbage": {"SSH-2.0-OpenSSH_9\r\n", "malformed HTTP"},
		"closed":  {"", "closed the connection"},
		"wrong key": {"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: AA==\r\n\r\n", "Sec-WebSocket-Accept"},
		"no upgrade": {"HTTP/1.1 101 Ok\r\n\r\n", "Upgrade"},
		"extension": {"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: " +
			"Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate; x=1\r\nSec-WebSocket-Extensions: foo\r\n\r\n",
			`not offered: "permessage-deflate; x=1, foo"`},
		"endless header": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000), "exceeds"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(testContext(t), respond(t, c.answer), DialOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatal(err)
			}
		})
	}
}

func TestSubprotocolNotAgreed(t *testing.T) {
	t.Parallel()
	url := serve(t, AcceptOptions{}, drainMessages)
	_, err := Dial(testContext(t), url, DialOptions{Subprotocol: "mpegts"})
	if err == nil || !strings.Contains(err.Error(), `did not agree to the subprotocol "mpegts"`) {
		t.Fatal(err)
	}
}

func TestDialTimeout(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"silence":     "",
		"slow header": "HTTP/1.1 200 OK\r\n",
	} {
		for _, scheme := range []string{"ws", "wss"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				url := rawTCP(t, func(conn *net.TCPConn) {
					// One byte every 20 ms, until the client gives up.
					_, err := io.WriteString(conn, first)
					for err == nil {
						time.Sleep(20 * time.Millisecond)
						if first == "" {
							io.Copy(io.Discard, conn)
							return
						}
						_, err = conn.Write([]byte{'\x16'})
					}
				})
				start := time.Now()
				_, err := Dial(context.Background(), scheme+url[len("ws"):],
					DialOptions{Timeout: 200 * time.Millisecond})
				slowTLS := scheme == "wss" && first != "" // fails at once: that is no TLS record
				if err == nil || !slowTLS && (!errors.Is(err, context.DeadlineExceeded) ||
					!strings.Contains(err.Error(), "200ms")) {
					t.Error(err)
				}
				if d := time.Since(start); d > soon {
					t.Errorf("took %v", d)
				}
			})
		}
	}
}

func TestDialEndsWithContext(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	url := rawTCP(t, func(conn *net.TCPConn) {
		http.ReadRequest(bufio.NewReader(conn))
		close(asked)
		io.Copy(io.Discard, conn)
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	go func() {
		<-asked
		cancel(cause)
	}()
	if _, err := Dial(ctx, url, DialOptions{}); !errors.Is(err, cause) {
		t.Fatal(err)
	}
}

// However the dial fails, its error must not show a secret: not even when the server sends it back.
func TestNoSecretsInErrors(t *testing.T) {
	t.Parallel()
	const user, password, query, bearer = "hubert", "s3cr3t/pw", "qu3ry-t0k3n", "b34r3r-t0k3n"
	echo := rawTCP(t, func(conn *net.TCPConn) {
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		conn.Write(buf[:n])
	})
	repeat := func(status string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/x"+r.URL.Query().Get("token")+"?"+r.URL.RawQuery)
			w.WriteHeader(map[string]int{"401": 401, "302": 302}[status])
			_, pw, _ := r.BasicAuth()
			io.WriteString(w, r.RequestURI+" "+r.Header.Get("Authorization")+" "+pw+" "+r.Header.Get("X-Token"))
		}))
		t.Cleanup(s.Close)
		return s.URL[len("http://"):]
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	l.Close()

	for name, host := range map[string]string{
		"refused": refused, "echo": echo[len("ws://"):], "401": repeat("401"), "302": repeat("302"),
		"bad port": "host:12x", "bad host": "ho st", "no such host": "nobody.invalid", "no host": "",
	} {
		for _, scheme := range []string{"ws", "wss", "ftp", "w s"} {
			for _, pw := range []string{"s3cr3t%2Fpw", password, "s3cr3t%zzpw", "1234#s3cr3t"} {
				url := scheme + "://" + user + ":" + pw + "@" + host + "/in?token=" + query
				_, err := Dial(testContext(t), url, DialOptions{
					Timeout: 3 * time.Second,
					Header:  http.Header{"X-Token": {"Bearer " + bearer}},
				})
				if err == nil {
					t.Fatalf("%s: connected", name)
				}
				for _, secret := range []string{user, "s3cr3t", query, bearer, "aHViZXJ0"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%s, %s, %s: %q shows %q", name, scheme, pw, err, secret)
					}
				}
			}
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ws://host":                "ws://host",
		"ws://host/cam1":           "ws://host/cam1",
		"ws://host/s3cr3t/cam1":    "ws://host/…/cam1",
		"ws://host/s3cr3t/a/cam1":  "ws://host/…/cam1",
		"ws://host/s3cr3t/":        "ws://host/…/",
		"WSS://host:8/a%20b?x=y#z": "wss://host:8/a%20b",
		"ws://host/s3c%2Fr3t/cam1": "ws://host/…/cam1",
		"wss://u:p@host/in":        "wss://host/in",
		"wss://u:p@ss@host/in":     "wss://host/in",
		"ws://[::1]:80/":           "ws://[::1]:80/",
		"ws://u:1/2@host/in":       "ws://…",
		"ws://u:1?2@host/in":       "ws://…",
		"ws://u:p%zz@host":         "ws://…",
		"ws://u:secret":            "ws://…",
		"ws:u:p@host":              "…",
		"cam.example/in":           "cam.example/in",
		"cam.example:8/s3cr3t/in":  "cam.example:8/…/in",
		"[::1]:80/in?t=s3cr3t":     "[::1]:80/in",
		"s3cr3t/in":                "…",
		"s3.cr3.t":                 "…",
		"cam:s3cr3t/in":            "…",
		"u:p@host":                 "…",
		"secret":                   "…",
		"":                         "…",
		"ws://":                    "ws://…",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("host", "/p")
	f.Fuzz(func(t *testing.T, host, path string) {
		const secret = "S3CR3T"
		if strings.Contains(host+path, secret) {
			t.Skip()
		}
		for _, u := range []string{
			"ws://u:" + secret + "@" + host + path,
			"ws://" + secret + "@" + host + path,
			"ws://h/x?" + host + "=" + secret + path,
			"ws://h/x#" + secret + path,
			"ws://h/" + secret + "/" + path,
		} {
			if got := Redact(u); strings.Contains(got, secret) {
				t.Errorf("%q: %q", u, got)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999999999": math.MaxInt64,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:03:05 GMT": 0,
	} {
		// The date of the response counts, not the clock here.
		h := http.Header{"Retry-After": {in}, "Date": {"Fri, 02 Jan 2026 03:04:05 GMT"}}
		if got := retryAfter(h); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	h := http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	if got := retryAfter(h); got < 50*time.Minute || got > time.Hour {
		t.Errorf("without a date: %v", got)
	}
}
