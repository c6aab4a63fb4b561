package test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// TestStockPage: the page of docs/recipes/jsmpeg-page.md plays what vw-push sends, as it does with jsmpeg's relay.
func TestStockPage(t *testing.T) {
	needPlayers(t)
	page := regexp.MustCompile("(?s)```html\n(.*?)```").FindStringSubmatch(string(read(t,
		"../docs/recipes/jsmpeg-page.md")))
	if page == nil {
		t.Fatal("docs/recipes/jsmpeg-page.md has no page")
	}
	for name, script := range map[string]string{
		"jsmpeg-player": "node/node_modules/jsmpeg-player/build/jsmpeg-player.min.js",
		"cycjimmy":      "node/node_modules/@cycjimmy/jsmpeg-player/dist/jsmpeg-player.umd.min.js",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stream atomic.Value // of string; known when the server listens
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/":
					_, _ = io.WriteString(w, strings.NewReplacer("<!doctype html>",
						`<!doctype html><link rel="icon" href="data:,">`, "ws://127.0.0.1:8082/cam1",
						stream.Load().(string)).Replace(page[1]))
				case "/jsmpeg.min.js":
					http.ServeFile(w, r, script)
				default:
					http.NotFound(w, r)
				}
			}))
			defer site.Close()
			v := startViewing(t, "--origin", strings.TrimPrefix(site.URL, "http://"))
			stream.Store("ws" + strings.TrimPrefix(v.url, "http"))
			v.start(readableCamera{codec: "mpeg1", size: "640x360", gop: 25})
			tab := openTab(t, site.URL)
			tab.plays(25)
			tab.silent()
		})
	}
}

// TestPageParameterSetsOnce: a stream that carries its parameter sets only once, long ago, plays from a viewer's
// first picture, in mpegts.js and in jsmpeg.
func TestPageParameterSetsOnce(t *testing.T) {
	needPlayers(t)
	for _, codec := range []string{"h264", "mpeg1"} {
		t.Run(codec, func(t *testing.T) {
			c := readableCamera{codec: codec, size: "640x360", gop: 25}
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
			push := start(t, wiring{stdin: &setsOnce{in: out, sets: onceSets(codec)}}, "vw-push", "--live", "--listen",
				"127.0.0.1:0")
			url := push.find(push.stderr, `msg="listening for viewers".*url=(\S+)`)
			first := openTab(t, url)
			first.plays(75)
			second := openTab(t, url)
			second.plays(25)
			second.silent()
		})
	}
}

// setsOnce turns all parameter sets but the first of each kind into something else, in place.
type setsOnce struct {
	in   io.Reader
	sets []*setOnce
}

// setOnce is a kind of parameter sets.
type setOnce struct {
	start string // of one, with its start code
	other byte   // what its start code becomes
	seen  bool
}

// onceSets are the parameter sets of a codec, and what setsOnce makes of them.
func onceSets(codec string) []*setOnce {
	if codec == "h264" {
		const fillerData = 0x0C
		return []*setOnce{
			{start: "\x00\x00\x01\x67", other: fillerData}, {start: "\x00\x00\x01\x68", other: fillerData},
		}
	}
	return []*setOnce{{start: "\x00\x00\x01\xB3", other: 0xB2}} // user data
}

func (s *setsOnce) Read(p []byte) (int, error) {
	b := make([]byte, 188)
	if _, err := io.ReadFull(s.in, b); err != nil {
		return 0, io.EOF
	}
	for _, set := range s.sets {
		if i := bytes.Index(b, []byte(set.start)); i >= 0 {
			if set.seen {
				b[i+3] = set.other
			}
			set.seen = true
		}
	}
	return copy(p, b), nil
}
