package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func get(t *testing.T, p *Page, name string, v Visit, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for key, values := range header {
		r.Header[key] = values
	}
	w := httptest.NewRecorder()
	if !p.ServeFile(w, r, name, v) {
		w.Code = http.StatusNotFound
	}
	return w
}

// TestFiles: every file that the HTML and the scripts name is there, and nothing of theirs comes from elsewhere.
func TestFiles(t *testing.T) {
	p := &Page{layers: []fs.FS{sub(t)}}
	reference := regexp.MustCompile(`(?:src|href)="([^"]*)"|(?:from|import\()\s*'\./([^']*)'`)
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "static/assets/players/") {
			return err
		}
		b, err := fs.ReadFile(embedded, name)
		if err != nil {
			return err
		}
		for _, m := range reference.FindAllStringSubmatch(string(b), -1) {
			file := m[1]
			if m[2] != "" {
				file = "assets/" + m[2]
			}
			if w := get(t, p, file, Visit{}, nil); w.Code != http.StatusOK {
				t.Errorf("%s names %s: %d", name, file, w.Code)
			}
		}
		if bytes.Contains(b, []byte("<style")) || bytes.Contains(b, []byte(" style=")) ||
			bytes.Contains(b, []byte("<script>")) {
			t.Errorf("%s has a script or style inside, which the policy forbids", name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func sub(t *testing.T) fs.FS {
	t.Helper()
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		t.Fatal(err)
	}
	return static
}

func TestServeFile(t *testing.T) {
	p := &Page{layers: []fs.FS{fstest.MapFS{
		"index.html":              {Data: []byte(`<html lang="en">index`)},
		"embed.html":              {Data: []byte("embed")},
		"assets/a.js":             {Data: []byte("script")},
		"assets/players/b.js.gz":  {Data: zip(t, "player")},
		"assets/players/c.js.gz":  {Data: []byte("no gzip")},
		"assets/players/d.css":    {Data: []byte("style")},
		"assets/players/LICENSES": {Data: []byte("<b>text</b>")},
		"secret":                  {Data: []byte("not a page's file")},
	}}}
	for _, tc := range []struct {
		name, contentType, body string
	}{
		{"", "text/html; charset=utf-8", `<html lang="en">index`},
		{"embed", "text/html; charset=utf-8", "embed"},
		{"assets/a.js", "text/javascript; charset=utf-8", "script"},
		{"assets/players/b.js", "text/javascript; charset=utf-8", "player"},
		{"assets/players/d.css", "text/css; charset=utf-8", "style"},
		{"assets/players/LICENSES", "text/plain; charset=utf-8", "<b>text</b>"},
	} {
		w := get(t, p, tc.name, Visit{}, nil)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != tc.contentType || w.Body.String() != tc.body {
			t.Errorf("%q: %d %s %q", tc.name, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	for _, name := range []string{"secret", "index.html", "assets", "assets/", "assets/../secret", "assets//a.js",
		"assets/x", "/", "."} {
		if w := get(t, p, name, Visit{}, nil); w.Code != http.StatusNotFound {
			t.Errorf("%q: %d", name, w.Code)
		}
	}
	if w := get(t, p, "assets/players/c.js", Visit{}, nil); w.Code != http.StatusInternalServerError {
		t.Errorf("damaged: %d", w.Code)
	}
	w := get(t, p, "assets/players/b.js", Visit{}, http.Header{"Accept-Encoding": {"br, gzip"}})
	if w.Header().Get("Content-Encoding") != "gzip" || !bytes.Equal(w.Body.Bytes(), zip(t, "player")) {
		t.Errorf("compressed: %v", w.Header())
	}
	if w := get(t, p, "assets/a.js", Visit{TokenInPath: true}, nil); w.Header().Get("Cache-Control") != "" {
		t.Errorf("kept by an address that shows the token: %v", w.Header())
	}
	if w := get(t, p, "", Visit{TokenInPath: true}, nil); w.Body.String() != `<html data-token="path" lang="en">index` {
		t.Errorf("with a token in the path: %s", w.Body)
	}
	v := Visit{Stream: []byte(`{"reason":"<a> & b"}`)}
	if w := get(t, p, "", v, nil); w.Body.String() !=
		`<html data-stream="{&#34;reason&#34;:&#34;&lt;a&gt; &amp; b&#34;}" lang="en">index` {
		t.Errorf("with what the stream is: %s", w.Body)
	}
}

// TestKeptFiles: a browser that has a file, packed or not, is not sent it again.
func TestKeptFiles(t *testing.T) {
	p := &Page{layers: []fs.FS{fstest.MapFS{
		"index.html":     {Data: []byte("index")},
		"assets/a.js":    {Data: []byte("script")},
		"assets/b.js.gz": {Data: zip(t, "player")},
	}}}
	for _, form := range []http.Header{{}, {"Accept-Encoding": {"gzip"}}} {
		for _, name := range []string{"assets/a.js", "assets/b.js"} {
			first := get(t, p, name, Visit{}, form)
			tag := first.Header().Get("ETag")
			if first.Header().Get("Cache-Control") != "no-cache" || tag == "" {
				t.Errorf("%s %v: %v", name, form, first.Header())
			}
			again := form.Clone()
			again.Set("If-None-Match", `"other", W/`+tag)
			if w := get(t, p, name, Visit{}, again); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
				t.Errorf("%s %v again: %d, %d bytes", name, form, w.Code, w.Body.Len())
			}
			again.Set("If-None-Match", `"other"`)
			if w := get(t, p, name, Visit{}, again); w.Code != http.StatusOK {
				t.Errorf("%s %v changed: %d", name, form, w.Code)
			}
		}
	}
	packed := get(t, p, "assets/b.js", Visit{}, http.Header{"Accept-Encoding": {"gzip"}}).Header().Get("ETag")
	if plain := get(t, p, "assets/b.js", Visit{}, nil).Header().Get("ETag"); plain == packed {
		t.Errorf("both forms are %s", plain)
	}
	if w := get(t, p, "", Visit{}, nil); w.Header().Get("ETag")+w.Header().Get("Cache-Control") != "" {
		t.Errorf("the page itself: %v", w.Header())
	}
}

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPictureAlone: what can be framed has the picture and what it needs to play, and nothing else of the page.
func TestPictureAlone(t *testing.T) {
	p := &Page{layers: []fs.FS{sub(t), pictureAlone{sub(t)}}}
	page := get(t, p, "", Visit{}, nil).Body.String()
	picture := get(t, p, "embed", Visit{TokenInPath: true}, nil).Body.String()
	for part, want := range map[string]int{
		`id="stage"`: 1, `id="picture"`: 1, `id="notice-title"`: 1, `src="assets/main.js"`: 1, `rel="modulepreload"`: 6,
		`<html data-token="path"`: 1, `<body class="embed">`: 1, `</main>`: 1,
		"<header": 0, "<form": 0, "<button": 0, `id="facts"`: 0, "<noscript": 0, "<!--": 0,
	} {
		if n := strings.Count(picture, part); n != want {
			t.Errorf("%s stands %d times in the picture alone, want %d", part, n, want)
		}
	}
	if a, b := strings.Count(page, "<!-- page only -->"), strings.Count(page, "<!-- end -->"); a != b || a == 0 {
		t.Errorf("%d marks begin and %d end", a, b)
	}
}

// TestUnbuilt: without players the page says what to run.
func TestUnbuilt(t *testing.T) {
	static := fstest.MapFS{"index.html": {Data: []byte("index")}, "unbuilt.html": {Data: []byte("run scripts/build")}}
	p := &Page{layers: []fs.FS{unbuilt{static}, static}}
	for _, name := range []string{"", "embed"} {
		if w := get(t, p, name, Visit{}, nil); w.Body.String() != "run scripts/build" {
			t.Errorf("%q: %s", name, w.Body)
		}
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if w := get(t, p, "", Visit{}, nil); w.Body.String() != "mine" {
		t.Errorf("index: %s", w.Body)
	}
	if w := get(t, p, "assets/main.js", Visit{}, nil); w.Code != http.StatusOK {
		t.Errorf("the embedded script: %d", w.Code)
	}
	for _, name := range []string{filepath.Join(dir, "index.html"), filepath.Join(dir, "missing")} {
		if _, err := Dir(name); err == nil {
			t.Errorf("%s is taken for a folder", name)
		}
	}
}

// TestPreload: only a player that is there, of the page in the program, is asked for early.
func TestPreload(t *testing.T) {
	if _, err := fs.ReadFile(embedded, "static/assets/players/jsmpeg.js.gz"); err != nil {
		t.Skip("SKIPPED: no players (scripts/build fetches them)")
	}
	folder, err := Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		page         *Page
		player, want string
	}{
		{Embedded(), "jsmpeg", "<assets/players/jsmpeg.js>; rel=preload; as=script"},
		{Embedded(), "mpegts", "<assets/players/mpegts.js>; rel=preload; as=script"},
		{Embedded(), "none", ""},
		{Embedded(), "", ""},
		{folder, "jsmpeg", ""},
	} {
		if got := tc.page.Preload(tc.player); got != tc.want {
			t.Errorf("%q: %q", tc.player, got)
		}
	}
}

// TestPlayerStyle: the policy has the hash of the style sheet in the player that was fetched.
func TestPlayerStyle(t *testing.T) {
	b, err := fs.ReadFile(embedded, "static/assets/players/jsmpeg.js.gz")
	if err != nil {
		t.Skip("SKIPPED: no players (scripts/build fetches them)")
	}
	if b, err = gunzip(b); err != nil {
		t.Fatal(err)
	}
	for _, literal := range regexp.MustCompile(`"([^"]*\{height:100%[^"]*)"`).FindAllSubmatch(b, -1) {
		sum := sha256.Sum256(literal[1])
		if "sha256-"+base64.StdEncoding.EncodeToString(sum[:]) == jsmpegStyle {
			return
		}
	}
	t.Errorf("no style sheet with the hash %s in the player", jsmpegStyle)
}
