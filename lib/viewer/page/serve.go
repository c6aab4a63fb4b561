package page

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// ServeFile answers a GET or HEAD of one of the page's files. The name is relative to the page's address: "" is the
// page itself, "embed" the picture alone, and the other files are "assets/…". It returns false, and writes nothing,
// if the page has no such file. The caller sets the headers that all files share, such as Content-Security-Policy.
//
// The browser keeps "assets/…" and asks whether they have changed: a script that it kept need not be compiled again. No
// file is secret: where "assets/…" needs a token too, a page that was opened with ?token= cannot load them.
func (p *Page) ServeFile(w http.ResponseWriter, r *http.Request, name string, v Visit) bool {
	file, ok := fileOf(name)
	if !ok {
		return false
	}
	keep := strings.HasPrefix(file, "assets/") && !v.TokenInPath
	for _, layer := range p.layers {
		if b, err := fs.ReadFile(layer, file); err == nil {
			if path.Ext(file) == ".html" {
				b = bytes.Replace(b, []byte("<html "), append([]byte("<html "), v.attributes()...), 1)
			}
			write(w, r, file, b, keep)
			return true
		}
		if b, err := fs.ReadFile(layer, file+".gz"); err == nil {
			writeCompressed(w, r, file, b, keep)
			return true
		}
	}
	return false
}

// Visit is what the page must know of its visit. It finds it as attributes of its html element.
type Visit struct {
	// TokenInPath: the last element of the page's address is the viewer's token. The page takes it out of the address
	// bar, and the browser keeps no file.
	TokenInPath bool
	// Stream is what stream.json says at this moment, in JSON, so that the page need not wait for it; or nil.
	Stream []byte
}

func (v Visit) attributes() string {
	var s string
	if v.TokenInPath {
		s += `data-token="path" `
	}
	if v.Stream != nil {
		s += `data-stream="` + html.EscapeString(string(v.Stream)) + `" `
	}
	return s
}

// fileOf returns the file that a name asks for. It is false for a name that no file of a page can have.
func fileOf(name string) (string, bool) {
	switch name {
	case "":
		return "index.html", true
	case "embed":
		return "embed.html", true
	}
	return name, strings.HasPrefix(name, "assets/") && fs.ValidPath(name)
}

// contentTypes are those of the files that a page has. The tables of the machine may not know them.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".png":  "image/png",
	".wasm": "application/wasm",
}

// write answers with a file. If the browser may keep it, the answer to one that has the same is 304 without a body.
func write(w http.ResponseWriter, r *http.Request, file string, b []byte, keep bool) {
	contentType, ok := contentTypes[path.Ext(file)]
	if !ok {
		contentType = "text/plain; charset=utf-8"
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	if keep {
		h.Set("Cache-Control", "no-cache")
		sum := fnv.New64a()
		_, _ = sum.Write(b) // a hash takes all
		tag := fmt.Sprintf(`"%x"`, sum.Sum64())
		h.Set("ETag", tag)
		if strings.Contains(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // a browser that has gone needs no error
	}
}

// writeCompressed answers with a file that is held compressed. A client that does not take it so, such as curl, gets it
// unpacked.
func writeCompressed(w http.ResponseWriter, r *http.Request, file string, b []byte, keep bool) {
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		write(w, r, file, b, keep)
		return
	}
	unpacked, err := gunzip(b)
	if err != nil {
		http.Error(w, "the file is damaged", http.StatusInternalServerError)
		return
	}
	write(w, r, file, unpacked, keep)
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
