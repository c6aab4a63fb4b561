package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// recipeRun runs the commands of one page, in a folder of their own.
type recipeRun struct {
	t      *testing.T
	dir    string
	env    []string
	server *server           // where the last command pushes to
	relay  *process          // one that goes on while others run
	names  map[string]string // what stands for INGEST and the like
}

func newRecipeRun(t *testing.T) *recipeRun {
	r := &recipeRun{t: t, dir: memoryFolder(t), names: make(map[string]string)}
	bin := filepath.Join(r.dir, "bin")
	if err := os.Mkdir(bin, 0o777); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"token": "sesame", "publishers": "TOKEN", "viewers": "viewer", "tokens": "viewer"}
	// The heads of pipelines write down which process they are, so that a test can end them as a user would.
	for _, name := range []string{"ffmpeg", "gst-launch-1.0", "vw-ingest"} {
		files["bin/"+name] = fmt.Sprintf("#!/bin/sh\n[ -p /dev/stdin ] || echo $$ >>%s/heads\nexec %s \"$@\"\n", r.dir,
			tool(t, name))
	}
	for _, name := range []string{"rpicam-vid", "libcamera-vid"} { // raw H.264 in time, with headers inline
		files["bin/"+name] = "#!/bin/sh\ncase \"$*\" in *--inline*'-o -') ;; *) exit 2 ;; esac\n" +
			"exec ffmpeg -v error " + testPicture + " -c:v libx264 -preset ultrafast -tune zerolatency -g 25 " +
			"-pix_fmt yuv420p -f h264 -\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	r.env = []string{"PATH=" + bin + ":" + filepath.Dir(tool(t, "vw-push")) + ":" + os.Getenv("PATH")}
	return r
}

// begin starts a command of the page.
func (r *recipeRun) begin(command string, stdin io.Reader) *process {
	r.t.Helper()
	command = replace(command)
	for name, prepare := range map[string]func() string{
		"CAMERA.h264": r.h264,
		"CAMERA.ts":   func() string { return sampleFile(r.t, "mpeg1.ts") },
		"CAMERA":      func() string { return rtspCamera(r.t) },
		"SERVER": func() string {
			r.server = serve(r.t, "--conns", "1", "--expect-clean")
			return r.server.url
		},
		"ACCESS": r.access,
	} {
		if _, found := r.names[name]; !found && strings.Contains(command, name) && name != "CAMERA" ||
			name == "CAMERA" && strings.Contains(command, "://CAMERA") {
			r.names[name] = prepare()
		}
	}
	for _, name := range []string{"CAMERA.h264", "CAMERA.ts", "CAMERA", "SERVER", "ACCESS", "INGEST", "POSTS",
		"CADDY"} {
		command = strings.ReplaceAll(command, name, r.names[name])
	}
	delete(r.names, "SERVER")
	return start(r.t, wiring{stdin: stdin, env: r.env, dir: r.dir}, "sh", "-c", command)
}

// h264 makes a raw stream, as a camera that compresses by itself.
func (r *recipeRun) h264() string {
	file := filepath.Join(r.dir, "camera.h264")
	start(r.t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25",
		"-t", "60", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", file).expect(0)
	return file
}

// access is the access point of a relay like practable's: an address for a token.
func (r *recipeRun) access() string {
	r.server = serve(r.t, "--conns", "1", "--expect-path", "/session/cam1-video")
	var code atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || q.Header.Get("Authorization") != "sesame" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"uri":"%s%s?code=%d"}`, r.server.url, q.URL.Path, code.Add(1))
	}))
	r.t.Cleanup(s.Close)
	return s.URL
}

// end ends the first programs of all pipelines, and waits for the command to end well.
func (r *recipeRun) end(p *process) {
	r.t.Helper()
	for pid := range strings.FieldsSeq(string(read(r.t, filepath.Join(r.dir, "heads")))) {
		var n int
		if _, err := fmt.Sscan(pid, &n); err == nil {
			_ = syscall.Kill(n, syscall.SIGTERM)
		}
	}
	p.expect(0)
	if s := p.stderr.String(); strings.Contains(s, ": error: ") {
		r.t.Errorf("stderr: %s", s)
	}
	_ = os.Remove(filepath.Join(r.dir, "heads"))
}

// stop ends the relay, if there is one.
func (r *recipeRun) stop() {
	r.t.Helper()
	if r.relay != nil {
		r.end(r.relay)
		r.relay = nil
	}
}

// watches is a viewer of p: it gets the page, and the stream.
func (r *recipeRun) watches(p *process, command string) {
	r.t.Helper()
	address := "127.0.0.1:" + viewersPort(p)
	if strings.Contains(command, "--viewer-token-file") {
		address += "/" + r.token("viewers")
	}
	page, err := http.Get("http://" + address + "/")
	if err != nil {
		r.t.Fatal(err)
	}
	page.Body.Close()
	if page.StatusCode != http.StatusOK {
		r.t.Errorf("the page: %s", page.Status)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), testTimeout)
	defer cancel()
	conn, err := wsconn.Dial(ctx, "ws://"+address+"/cam1", wsconn.DialOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.CloseNow()
	first := make([]byte, 188)
	_, m, err := conn.NextMessage(ctx)
	if err == nil {
		_, err = io.ReadFull(m, first)
	}
	if err != nil || first[0] != 0x47 {
		r.t.Fatalf("a viewer's first packet: %v %x", err, first)
	}
}

// posts sends a stream to the vw-ingest of p, and returns its size.
func (r *recipeRun) posts(p *process) int64 {
	r.t.Helper()
	r.names["INGEST"] = p.find(p.stderr, `msg=listening .*url=\S+:(\d+)`)
	b := read(r.t, sample("mpeg1.ts"))
	address := "http://127.0.0.1:" + r.names["INGEST"] + "/" + r.token("publishers") + "/cam1"
	answer, err := http.Post(address, "", bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		r.t.Fatalf("a publisher got %s", answer.Status)
	}
	return int64(len(b))
}

// token is what publishers or viewers show.
func (r *recipeRun) token(file string) string {
	return strings.TrimSpace(string(read(r.t, filepath.Join(r.dir, file))))
}

// recordings waits for a file, and returns the size of all.
func (r *recipeRun) recordings() (size int64) {
	r.t.Helper()
	var files []string
	testwait.Eventually(r.t, "a recording is finished", func() bool {
		files, _ = filepath.Glob(filepath.Join(r.dir, "rec", "*.ts"))
		return len(files) > 0
	})
	for _, file := range files {
		size += int64(len(read(r.t, file)))
	}
	return size
}
