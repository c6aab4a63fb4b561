package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// TestStockPage: a page that was made for jsmpeg's relay plays what vw-push sends, unchanged.
func TestStockPage(t *testing.T) {
	needPlayers(t)
	for name, script := range map[string]string{
		"jsmpeg-player": "node/node_modules/jsmpeg-player/build/jsmpeg-player.min.js",
		"cycjimmy":      "node/node_modules/@cycjimmy/jsmpeg-player/dist/jsmpeg-player.umd.min.js",
	} {
		t.Run(name, func(t *testing.T) {
			var stream atomic.Value // of string; known when the server listens
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/":
					fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><canvas id="canvas"></canvas>
<script src="player.js"></script>
<script>new JSMpeg.Player('%s', { canvas: document.getElementById('canvas') })</script>`, stream.Load())
				case "/player.js":
					http.ServeFile(w, r, script)
				default:
					http.NotFound(w, r)
				}
			}))
			defer site.Close()
			v := startViewing(t, "--origin", strings.TrimPrefix(site.URL, "http://"))
			stream.Store("ws" + strings.TrimPrefix(v.url, "http"))
			v.start(readableCamera{codec: "mpeg1", size: "640x360", gop: 25})
			page := openTab(t, site.URL)
			page.plays(25)
			page.silent()
		})
	}
}

// TestPageParameterSetsOnce: a stream that carries its parameter sets only once, long ago, plays from a viewer's
// first picture.
func TestPageParameterSetsOnce(t *testing.T) {
	needPlayers(t)
	c := readableCamera{codec: "h264", size: "640x360", gop: 25}
	cmd := exec.Command(tool(t, "ffmpeg"), c.args("-")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	push := start(t, wiring{stdin: &setsOnce{in: out}}, "vw-push", "--live", "--listen", "127.0.0.1:0")
	url := push.find(push.stderr, `msg="listening for viewers".*url=(\S+)`)
	first := openTab(t, url)
	first.plays(75)
	second := openTab(t, url)
	second.plays(25)
	second.silent()
}

// setsOnce turns all H.264 parameter sets but the first into filler data, in place.
type setsOnce struct {
	in       io.Reader
	sps, pps bool
}

func (s *setsOnce) Read(p []byte) (int, error) {
	b := make([]byte, 188)
	if _, err := io.ReadFull(s.in, b); err != nil {
		return 0, io.EOF
	}
	for _, set := range []struct {
		start []byte
		seen  *bool
	}{{[]byte{0, 0, 1, 0x67}, &s.sps}, {[]byte{0, 0, 1, 0x68}, &s.pps}} {
		if i := bytes.Index(b, set.start); i >= 0 {
			if *set.seen {
				b[i+3] = 0x0c
			}
			*set.seen = true
		}
	}
	return copy(p, b), nil
}
