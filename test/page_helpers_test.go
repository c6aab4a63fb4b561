package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readableCamera is a picture that carries its frame number and the wall clock in ms, modulo 65536, as two rows of 16
// boxes at the top left, where test/node/probe.mjs reads them. At the bottom right it is red.
type readableCamera struct {
	codec string // mpeg1 or h264
	size  string
	gop   int // pictures in a group
}

// args are ffmpeg's.
func (c readableCamera) args(to string) []string {
	const boxes = "[1:v]format=gray,geq=lum='255*mod(floor(if(Y,time(0)*1000,N)/pow(2,X)),2)'," +
		"scale=512:64:flags=neighbor[b];[0:v][b]overlay=0:0," +
		"drawbox=x=iw-64:y=ih-64:w=64:h=64:color=red:t=fill,format=yuv420p[v]"
	args := []string{"-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=rate=25:size=" + c.size,
		"-f", "lavfi", "-i", "color=black:size=16x2:rate=25", "-f", "lavfi", "-i", "sine=frequency=440",
		"-filter_complex", boxes, "-map", "[v]", "-map", "2:a", "-b:v", "1300k", "-g", fmt.Sprint(c.gop), "-b:a", "64k"}
	if c.codec == "mpeg1" {
		args = append(args, "-c:v", "mpeg1video", "-bf", "0", "-c:a", "mp2")
	} else {
		args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-c:a", "aac")
	}
	return append(args, "-f", "mpegts", "-muxdelay", "0.001", to)
}

// viewing is vw-ingest | vw-push --live --listen with a camera that comes and goes.
type viewing struct {
	t            *testing.T
	ingest, push *process
	camera       *process
	url          string // of the page
}

func startViewing(t *testing.T, flags ...string) *viewing {
	t.Helper()
	needPlayers(t)
	r, w := pipe(t)
	v := &viewing{t: t}
	v.ingest = start(t, wiring{stdout: w}, "vw-ingest", "--live", "--listen", "127.0.0.1:0")
	v.push = start(t, wiring{stdin: r}, "vw-push", append([]string{"--live", "--listen", "127.0.0.1:0"}, flags...)...)
	r.Close()
	w.Close()
	v.url = v.push.find(v.push.stderr, `msg="listening for viewers".*url=(\S+)`)
	return v
}

// needPlayers skips the test if vw-push has no players, or there is nothing to watch with.
func needPlayers(t *testing.T) {
	t.Helper()
	tool(t, "chromium")
	tool(t, "ffmpeg")
	nodeModules(t)
	if _, err := os.Stat("../lib/viewer/page/static/assets/players/mpegts.js.gz"); err != nil {
		t.Skip("SKIPPED: the page has no players (scripts/build fetches them)")
	}
}

// start starts a camera in place of the one before.
func (v *viewing) start(c readableCamera) {
	v.t.Helper()
	v.stop()
	v.camera = start(v.t, wiring{}, "ffmpeg", c.args(ingestURL(v.ingest))...)
}

// stop kills the camera, as a power cut would.
func (v *viewing) stop() {
	v.t.Helper()
	if v.camera != nil {
		v.camera.signal(syscall.SIGKILL)
		v.camera.wait()
		v.camera = nil
	}
}

// sight is what can be seen of a page (test/node/watch.mjs).
type sight struct {
	Frame      int    // the newest picture's, -1 before the first
	Pictures   int    // how many have been seen
	Delay      int    // ms from the camera's clock to the drawing
	First      int    // ms from the opening of the page to the first picture, -1 before
	FirstDelay int    // how late that one was, in ms
	Unreadable int    // drawings without readable boxes
	Hidden     bool   // the tab
	State      string // the word at the top
	Notice     string // what stands in place of the picture
	Detail     string
	Lost       string // frames
	Player     string // canvas or video
	Width      int
	Address    string // in the address bar
	Title      string

	Error        string // instead of all else: a line in the browser's console
	Done, Failed string // or the command that was carried out, or not
	Reason       string
	Value        any // what an expression came to
}

// tab is a page in a browser.
type tab struct {
	t      *testing.T
	stdin  io.WriteCloser
	sights chan sight
	last   sight

	mu     sync.Mutex
	errors []string // of the console
}

// openTab opens a page in a browser of its own.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	cmd := exec.Command(tool(t, "node"), "node/watch.mjs", url)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := newOutput()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, stdin: stdin, sights: make(chan sight)}
	done := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(b.sights)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var s sight
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				s.Failed, s.Reason = lines.Text(), err.Error()
			}
			if s.Error != "" {
				b.mu.Lock()
				b.errors = append(b.errors, s.Error)
				b.mu.Unlock()
				continue
			}
			select {
			case b.sights <- s:
			case <-done:
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends the browser
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the page was last seen as %+v\nconsole: %q\n%s", b.last, b.consoleErrors(), stderr)
		}
	})
	return b
}

// next returns the next thing that is seen.
func (b *tab) next(what string, limit <-chan time.Time) sight {
	b.t.Helper()
	select {
	case s, ok := <-b.sights:
		if !ok {
			b.t.Fatalf("the browser ended before: %s", what)
		}
		return s
	case <-limit:
		b.t.Fatalf("not seen within %v: %s", testTimeout, what)
	}
	panic("unreachable")
}

// until waits until the page looks as it should.
func (b *tab) until(what string, as func(sight) bool) sight {
	b.t.Helper()
	limit := time.After(testTimeout)
	for {
		s := b.next(what, limit)
		if s.Done != "" || s.Failed != "" {
			continue
		}
		b.last = s
		if as(s) {
			return s
		}
	}
}

// plays waits until so many new pictures have been seen, by the newest of which the page says that it is live.
func (b *tab) plays(pictures int) sight {
	b.t.Helper()
	from := b.last.Pictures
	return b.until(fmt.Sprintf("%d pictures after %d", pictures, from), func(s sight) bool {
		return s.Pictures >= from+pictures && s.Notice == ""
	})
}

// do has a command of watch.mjs carried out, and returns what it came to.
func (b *tab) do(command string) any {
	b.t.Helper()
	if _, err := io.WriteString(b.stdin, command+"\n"); err != nil {
		b.t.Fatal(err)
	}
	limit := time.After(testTimeout)
	var value any
	for {
		switch s := b.next(command, limit); {
		case s.Failed != "":
			b.t.Fatalf("%s: %s", s.Failed, s.Reason)
		case s.Done == command:
			return value
		case s.Value != nil:
			value = s.Value
		}
	}
}

func (b *tab) consoleErrors() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errors
}

// silent checks that there was no error in the console, but for those that contain one of the texts.
func (b *tab) silent(but ...string) {
	b.t.Helper()
lines:
	for _, line := range b.consoleErrors() {
		for _, text := range but {
			if strings.Contains(line, text) {
				continue lines
			}
		}
		b.t.Errorf("in the console: %s", line)
	}
}
