package test

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestPagePlays: the page plays both codecs, in a hidden tab too, after whatever happens to the stream, and then for
// VW_TEST_WATCH seconds.
// docs/dev/viewers.md has the times.
func TestPagePlays(t *testing.T) {
	for codec, element := range map[string]string{"mpeg1": "canvas", "h264": "video"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			v := startViewing(t)
			c := readableCamera{codec: codec, size: "640x360", gop: 50}
			v.start(c)
			l := newPageLink(t, v.url)
			page := openTab(t, l.url)

			s := page.plays(25)
			if s.Player != element || s.State != "Live" || s.Width != 640 {
				t.Errorf("the page plays as %+v", s)
			}

			page.do("hide")
			page.until("the tab is hidden", func(s sight) bool { return s.Hidden })
			page.do("wait 6000")
			page.do("show")
			page.plays(25)

			l.cut()
			page.plays(25)

			v.stop()
			page.until("the camera is gone", func(s sight) bool {
				return strings.HasPrefix(s.Notice, "Camera gone since ")
			})
			v.start(c)
			page.plays(25)

			c.size = "768x432"
			v.start(c)
			page.until("the other size", func(s sight) bool { return s.Width == 768 })
			for range setting(t, "VW_TEST_WATCH", 20) {
				page.plays(25) // of a second
			}
			page.silent()
		})
	}
}

// TestPageOtherCodec: the page goes on with another player, and draws MPEG-1 with WebGL where it must.
func TestPageOtherCodec(t *testing.T) {
	v := startViewing(t)
	v.start(readableCamera{codec: "mpeg1", size: "640x360", gop: 25})
	page := openTab(t, v.url)
	page.plays(25)
	v.start(readableCamera{codec: "h264", size: "640x360", gop: 25})
	page.until("a video element", func(s sight) bool { return s.Player == "video" })
	page.plays(25)
	page.do("eval delete globalThis.VideoFrame")
	v.start(readableCamera{codec: "mpeg1", size: "640x360", gop: 25})
	page.until("a canvas", func(s sight) bool { return s.Player == "canvas" })
	page.plays(25)
	page.silent()
}

// TestPageBeforeTheStream: the page waits for a camera, and says when the server has gone.
func TestPageBeforeTheStream(t *testing.T) {
	v := startViewing(t)
	page := openTab(t, v.url)
	page.until("it waits", func(s sight) bool { return s.Notice == "Waiting for the camera" })
	v.start(readableCamera{codec: "mpeg1", size: "640x360", gop: 25})
	page.plays(25)
	v.push.signal(syscall.SIGTERM)
	page.until("the end", func(s sight) bool {
		return strings.HasPrefix(s.Notice, "Camera gone since ") && strings.Contains(s.Detail, "The next attempt is in")
	})
	page.silent("ERR_CONNECTION_REFUSED") // Chromium's own, for each attempt
}

// TestPageSlowLink: a viewer that does not get all loses whole groups, the page counts the frames, and plays what
// comes.
func TestPageSlowLink(t *testing.T) {
	for _, codec := range []string{"mpeg1", "h264"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			v := startViewing(t)
			v.start(readableCamera{codec: codec, size: "640x360", gop: 25})
			l := newPageLink(t, v.url)
			page := openTab(t, l.url)
			page.plays(25)
			l.slow(400 * time.Millisecond) // a third of the stream's rate
			page.until("lost frames", func(s sight) bool {
				n, err := strconv.Atoi(s.Lost)
				return err == nil && n > 25
			})
			l.slow(0)
			page.plays(50)
			page.silent()
		})
	}
}

// TestPageToken: a token in the address is not left there, and is shown all the same, also after a reload.
func TestPageToken(t *testing.T) {
	const token = "a-token_4711"
	v := startViewing(t, "--viewer-token-file", write(t, "tokens", []byte("kitchen:"+token+"\n")))
	v.start(readableCamera{codec: "mpeg1", size: "640x360", gop: 25})
	for _, address := range []string{token + "/", token + "/embed", "?token=" + token} {
		page := openTab(t, v.url+address)
		s := page.plays(10)
		if strings.Contains(s.Address, token) || !strings.HasPrefix(s.Address, v.url) {
			t.Errorf("%s: the address bar shows %s", address, s.Address)
		}
		page.silent()
		page.do("reload")
		page.until("it is loaded again", func(s sight) bool { return s.First < 0 })
		page.last.Pictures = 0
		page.plays(10)
	}
	page := openTab(t, v.url)
	page.until("it asks for a token", func(s sight) bool { return s.Notice == "A token is needed" })
	page.do(`eval document.getElementById('token').value = '` + token +
		`'; document.getElementById('token-form').requestSubmit()`)
	page.plays(10)
}

// TestPageControls: sound, snapshot and full screen answer to their keys, over TLS too, and a screen reader finds
// names.
func TestPageControls(t *testing.T) {
	cert, key := newAuthority(t).server("127.0.0.1")
	for codec, flags := range map[string][]string{
		"mpeg1": nil,
		"h264":  {"--listen-tls-cert", cert, "--listen-tls-key", key},
	} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			v := startViewing(t, flags...)
			v.start(readableCamera{codec: codec, size: "640x360", gop: 25})
			page := openTab(t, v.url)
			page.plays(25)
			found := fmt.Sprint(page.do("controls"))
			for _, name := range []string{"button Sound on", "button Snapshot", "button Full screen", "Live picture",
				"status"} {
				if !strings.Contains(found, name) {
					t.Errorf("a screen reader finds no %q in %s", name, found)
				}
			}

			page.do("key m")
			page.plays(25)
			if found := fmt.Sprint(page.do("controls")); !strings.Contains(found, "button Sound off") {
				t.Errorf("after the key m: %s", found)
			}
			page.do("key m")

			folder := t.TempDir()
			page.do("downloads " + folder)
			page.do("key s")
			checkSnapshot(t, folder)

			page.do("key f")
			testwait.Eventually(t, "full screen", func() bool {
				return page.do("eval document.fullscreenElement !== null") == true
			})
			page.plays(25)
			page.silent()
		})
	}
}

// checkSnapshot waits for the picture that the page saves into a folder.
func checkSnapshot(t *testing.T, folder string) {
	t.Helper()
	var saved image.Image
	testwait.Eventually(t, "a snapshot", func() bool {
		names, _ := filepath.Glob(filepath.Join(folder, "*.png"))
		if len(names) == 0 {
			return false
		}
		f, err := os.Open(names[0])
		if err != nil {
			return false
		}
		defer f.Close()
		saved, err = png.Decode(f)
		return err == nil
	})
	colours := make(map[color.Color]bool)
	for x := range saved.Bounds().Dx() {
		colours[saved.At(x, saved.Bounds().Dy()/2)] = true
	}
	r, g, b, _ := saved.At(640-32, 360-32).RGBA()
	if r>>8 < 180 || g>>8 > 80 || b>>8 > 80 {
		t.Errorf("what is red is %d %d %d in the snapshot", r>>8, g>>8, b>>8)
	}
	if size := saved.Bounds().Size(); size != image.Pt(640, 360) || len(colours) < 10 {
		t.Errorf("the snapshot is %v large and has %d colours in a row", size, len(colours))
	}
}

// TestPageBelowAPath: the page needs no more of its address than that it ends with a slash.
func TestPageBelowAPath(t *testing.T) {
	v := startViewing(t)
	v.start(readableCamera{codec: "h264", size: "640x360", gop: 25})
	target, err := url.Parse(v.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // vw-push compares it with the page's origin
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/site/cam1")
		r.Out.URL.RawPath = ""
	}})
	defer proxy.Close()
	page := openTab(t, proxy.URL+"/site/cam1/")
	if s := page.plays(10); s.Title != "cam1" {
		t.Errorf("the page is called %q", s.Title)
	}
	page.silent()
}
