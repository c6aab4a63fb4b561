// Package page holds the web page that vw-push --listen shows its viewers: hand-written HTML, CSS and JavaScript, and
// the players that scripts/build fetches. It knows which files the page has and what they may load. Who may see them,
// and what the page asks for (stream.json, the websocket), is package viewer's.
//
// It is vw's own and may change.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"sync"
)

// CSP is the Content-Security-Policy of the page, but for frame-ancestors: which hosts may frame a page depends on the
// page. Nothing comes from other hosts, and no script or style stands in the HTML.
//
//   - 'wasm-unsafe-eval': jsmpeg decodes in WebAssembly.
//   - the hashes in style-src: jsmpeg adds a style sheet of its own when it loads, first empty, then filled.
//   - blob: in media-src: mpegts.js hands a MediaSource to the video element.
//   - ws: and wss:: for Safari before 15.4 'self' does not cover the websocket of the page's own host.
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; " +
	"style-src 'self' '" + emptyStyle + "' '" + jsmpegStyle + "'; img-src 'self' data:; media-src blob:; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"

// emptyStyle is the hash of an empty style sheet, jsmpegStyle that of the one in the @cycjimmy/jsmpeg-player that
// package-lock.json names.
const (
	emptyStyle  = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	jsmpegStyle = "sha256-lRyplcblLyRa4o+ZUBNzXETDGwKXzgKgrWbiYOwfTLg="
)

//go:embed static
var embedded embed.FS

// Page is the set of files that make a page: index.html, embed.html (the picture alone) and those in assets/. In the
// program, embed.html is made of index.html.
type Page struct {
	layers     []fs.FS // the first that has a file serves it
	fromFolder bool    // the first layer is a user's
}

// Embedded returns the page in the program. A program that was built without scripts/build has no players, and its page
// says what to run.
func Embedded() *Page {
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the name is not that of the embedded folder
	}
	layers := []fs.FS{static, pictureAlone{static}}
	if _, err := fs.Stat(static, "assets/players/mpegts.js.gz"); err != nil {
		layers = append([]fs.FS{unbuilt{static}}, layers...)
	}
	return &Page{layers: layers}
}

// pictureAlone has embed.html: index.html without what it marks as for the page only.
type pictureAlone struct{ static fs.FS }

// pageOnly is compiled when it is needed, which is seldom.
var pageOnly = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?s)\s*<!-- page only -->.*?<!-- end -->`)
})

func (pictureAlone) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

// ReadFile is what package fs reads a whole file with.
func (p pictureAlone) ReadFile(name string) ([]byte, error) {
	if name != "embed.html" {
		return nil, fs.ErrNotExist
	}
	b, err := fs.ReadFile(p.static, "index.html")
	b = pageOnly().ReplaceAll(b, nil)
	return bytes.Replace(b, []byte("<body>"), []byte(`<body class="embed">`), 1), err
}

// Preload returns a Link header for the page that names the player ("jsmpeg", "mpegts"), so that a browser fetches it
// beside the page's scripts; "" if that is no player, or the page is not the one in the program.
func (p *Page) Preload(player string) string {
	file := "assets/players/" + player + ".js"
	if _, err := fs.Stat(embedded, "static/"+file+".gz"); err != nil || p.fromFolder {
		return ""
	}
	return "<" + file + ">; rel=preload; as=script"
}

// unbuilt has a page in place of the others that says that the players are missing.
type unbuilt struct{ static fs.FS }

func (u unbuilt) Open(name string) (fs.File, error) {
	if name == "index.html" || name == "embed.html" {
		return u.static.Open("unbuilt.html")
	}
	return nil, fs.ErrNotExist
}

// Dir returns the page in a folder. A file that is not there comes from the page in the program, so a folder with an
// index.html alone can use the embedded scripts and players. Files are read anew for each request.
func Dir(dir string) (*Page, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open page folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open page folder: %s is not a folder", dir)
	}
	return &Page{layers: append([]fs.FS{os.DirFS(dir)}, Embedded().layers...), fromFolder: true}, nil
}
