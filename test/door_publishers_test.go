package test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// realPublishers are command lines. GStreamer's souphttpclientsink is none of them: it drops what it holds when its
// stream ends. URL and AUTH are where to publish, with the token in the path and as a password; WS and HOST are the
// same as a websocket and without a token. Each sends FILE.
var realPublishers = map[string]string{
	"curl, a file":       "curl -sSf -T FILE URL",
	"curl, chunks":       "curl -sSf -T - URL < FILE",
	"curl, POST":         "curl -sSf --data-binary @FILE URL",
	"curl, Basic":        "curl -sSf -u cam:sesame -T FILE HOSTcam",
	"curl, Bearer":       "curl -sSf -H 'Authorization: Bearer sesame' -T FILE HOSTcam",
	"curl, Expect":       "curl -sSf -H 'Expect: 100-continue' --data-binary @FILE URL",
	"curl, HTTP/1.0":     "curl -sSf -0 --data-binary @FILE URL",
	"curl, h2c":          "curl -sSf --http2 --data-binary @FILE URL",
	"ffmpeg, POST":       "ffmpeg -nostdin -v error -f data -i FILE -map 0 -c copy -f data URL",
	"ffmpeg, PUT":        "ffmpeg -nostdin -v error -f data -i FILE -map 0 -c copy -f data -method PUT URL",
	"ffmpeg, Basic":      "ffmpeg -nostdin -v error -f data -i FILE -map 0 -c copy -f data AUTH",
	"ffmpeg, Expect":     "ffmpeg -nostdin -v error -f data -i FILE -map 0 -c copy -f data -send_expect_100 1 URL",
	"gst, curlhttpsink":  "gst-launch-1.0 -q filesrc location=FILE ! curlhttpsink location=URL content-type=video/mp2t",
	"wget":               "wget -q -O /dev/null --post-file=FILE URL",
	"npm ws":             "node node/ws-publisher.mjs WS FILE",
	"python3-websockets": "/usr/bin/python3 python/ws-publisher.py WS FILE",
	"vw-push":            "VWPUSH --quiet WS < FILE",
}

// TestDoorRealPublishers: what programs that are not ours publish, in every way they know, comes out exactly.
func TestDoorRealPublishers(t *testing.T) {
	t.Parallel()
	file := sample("mpeg1.ts")
	want := read(t, file)
	for name, line := range realPublishers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			available(t, line)
			d := openDoor(t, "--token-file", tokenFile(t), "--once")
			base := "http://" + d.addr + "/"
			for before, after := range map[string]string{
				"FILE": file, "URL": base + "sesame/cam", "AUTH": "http://cam:sesame@" + d.addr + "/", "HOST": base,
				"WS": "ws://" + d.addr + "/sesame/cam",
			} {
				line = strings.ReplaceAll(line, before, after)
			}
			if strings.HasPrefix(line, "VWPUSH") {
				line = strings.Replace(line, "VWPUSH", tool(t, "vw-push"), 1)
			}
			start(t, wiring{}, "bash", "-c", line).expect(0)
			d.expect(0)
			same(t, "what came out", read(t, d.out), want)
			d.keepsSecret("sesame")
		})
	}
}

// available skips the test if the program of a command line is not installed.
func available(t *testing.T, line string) {
	t.Helper()
	program, _, _ := strings.Cut(line, " ")
	switch {
	case program == "node":
		nodeModules(t)
	case strings.Contains(line, "python"):
		if exec.Command(program, "-c", "import websockets").Run() != nil {
			t.Skip("SKIPPED: python3-websockets is not installed (scripts/test installs it)")
		}
	case program == "gst-launch-1.0":
		element := strings.Fields(line[strings.Index(line, "!"):])[1]
		if exec.Command("gst-inspect-1.0", "--exists", element).Run() != nil {
			t.Skipf("SKIPPED: GStreamer's %s is not installed (scripts/test installs it)", element)
		}
	}
	if program != "VWPUSH" {
		tool(t, program)
	}
}

// TestDoorBrowserPublishes: a page with the token publishes by fetch, and by WebSocket.
func TestDoorBrowserPublishes(t *testing.T) {
	t.Parallel()
	want := read(t, sample("mpeg1.ts"))
	for _, way := range []string{"fetch", "websocket"} {
		said := make(chan string, 1)
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/stream":
				_, _ = w.Write(want)
			case "/said":
				b, _ := io.ReadAll(r.Body)
				said <- string(b)
			default:
				http.ServeFile(w, r, "browser/publish.html")
			}
		}))
		defer page.Close()
		d := openDoor(t, "--token-file", tokenFile(t), "--once")
		query := url.Values{"way": {way}, "url": {"http://" + d.addr + "/sesame/cam"}}
		browser := start(t, wiring{}, "chromium", "--headless", "--no-sandbox", "--disable-gpu",
			"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), page.URL+"/?"+query.Encode())
		select {
		case got := <-said:
			if got != "opaque" && got != "1000" {
				t.Errorf("%s: the page says %q", way, got)
			}
		case <-time.After(testTimeout):
			t.Fatalf("%s: the page says nothing; %s", way, browser.stderr)
		}
		d.expect(0)
		same(t, way, read(t, d.out), want)
		browser.signal(os.Kill)
		browser.wait()
	}
}
