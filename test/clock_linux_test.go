package test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// jumpyTools builds the tools with a wall clock that a test can set: time.Now adds as many seconds as the file
// $VW_TEST_CLOCK_FILE says, an int64. The monotonic clock goes on, as in a machine whose clock is set.
var jumpyTools = sync.OnceValues(func() (string, error) {
	tools, err := buildTools()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(tools, "jumpy")
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		return "", err
	}
	reads := regexp.MustCompile(`\tsec, nsec, mono := \w+\(\)\n`)
	if n := len(reads.FindAll(text, -1)); n != 1 {
		return "", fmt.Errorf("%s reads the clock in %d places", source, n)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, text := range map[string][]byte{
		"time.go": reads.ReplaceAll(text, []byte("${0}\tsec += clockJump()\n")), "clockjump.go": []byte(clockJump),
	} {
		overlay.Replace[filepath.Join(source, name)] = filepath.Join(folder, name)
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	name := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(name, list, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-overlay", name, "-o", folder, "../cmd/...").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the tools: %w\n%s", err, out)
	}
	return folder, nil
})

// clockJump becomes part of package time. The file is mapped, because time.Now is also called where no system call is
// allowed.
const clockJump = `package time

import (
	"syscall"
	"unsafe"
)

var clockFile = mapClockFile()

func mapClockFile() []byte {
	name, ok := syscall.Getenv("VW_TEST_CLOCK_FILE")
	if !ok {
		return nil
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open " + name + ": " + err.Error())
	}
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map " + name + ": " + err.Error())
	}
	return b
}

func clockJump() int64 {
	if clockFile == nil {
		return 0
	}
	return *(*int64)(unsafe.Pointer(&clockFile[0]))
}
`

// wallClock is the clock of some tools.
type wallClock struct {
	t      *testing.T
	file   string
	folder string // of the tools
}

func newWallClock(t *testing.T) *wallClock {
	t.Helper()
	if setting(t, "VW_TEST_CLOCK", 0) == 0 {
		t.Skip("SKIPPED: it builds Go's library anew; VW_TEST_CLOCK=1 asks for it")
	}
	folder, err := jumpyTools()
	if err != nil {
		t.Fatal(err)
	}
	c := &wallClock{t, filepath.Join(t.TempDir(), "clock"), folder}
	c.set(0)
	return c
}

// set makes the clock go before or after the true time. It writes the file in place, because the tools have mapped it.
func (c *wallClock) set(after time.Duration) {
	c.t.Helper()
	f, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(binary.NativeEndian.AppendUint64(nil, uint64(int64(after/time.Second)))); err != nil {
		c.t.Fatal(err)
	}
}

// start starts a tool that goes by the clock.
func (c *wallClock) start(w wiring, name string, args ...string) *process {
	c.t.Helper()
	ledger := filepath.Join(c.t.TempDir(), "ledger.json")
	w.env = append(w.env, "VW_TEST_CLOCK_FILE="+c.file)
	p := start(c.t, w, filepath.Join(c.folder, name), append([]string{"--ledger", ledger}, args...)...)
	p.name, p.ledger = name, ledger
	return p
}

const year = 365 * 24 * time.Hour

// jumps are where a clock may be set to: back by an hour and ahead by a year, to 1996, and right again; daylight saving
// time is an hour, and none of the tools knows of it.
var jumps = []time.Duration{-time.Hour, year, year - time.Hour, 0, -30 * year, time.Hour, 0}

// TestClockJumpsWhileRecording: the clock is set again and again. Everything is recorded, in files that are as long as
// they should be and named after the time that it then was, no old one is deleted for its age, and commands run.
func TestClockJumpsWhileRecording(t *testing.T) {
	t.Parallel()
	clock := newWallClock(t)
	for _, align := range []bool{false, true} {
		t.Run(fmt.Sprintf("align=%v", align), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files, manifest := filepath.Join(dir, "rec"), filepath.Join(dir, "m.jsonl")
			carried := filepath.Join(dir, "carried")
			in, w := pipe(t)
			own := *clock
			own.t, own.file = t, filepath.Join(dir, "clock")
			own.set(0)
			p := own.start(wiring{stdin: in}, "vw-record", fmt.Sprintf("--align=%v", align), "--rotate-time", "2s",
				"--keep-age", "1h", "--manifest", manifest, "--playlist", filepath.Join(dir, "p.m3u8"),
				"--exec", "false || echo $VW_FILE >>"+carried, filepath.Join(files, "%Y/%m/%dT%H%M%SZ.ts"))
			in.Close()
			stop := make(chan struct{})
			sent := feed(t, w, tsgen.Options{GOP: 5, FramePackets: 10}, 1<<20, 40*time.Millisecond, stop)
			began := time.Now()
			recorded := func() int {
				b, _ := os.ReadFile(manifest) // it may not be there yet
				return bytes.Count(b, []byte(`"start"`))
			}
			for _, jump := range jumps {
				n := recorded()
				own.set(jump)
				testwait.Eventually(t, "two more files", func() bool { return recorded() >= n+2 })
			}
			took := time.Since(began)
			close(stop)
			all := <-sent
			p.expect(0)
			r, missing := readRecording(t, files, manifest)
			if !bytes.Equal(r.joined, all) || missing > 0 {
				t.Errorf("%d bytes recorded of %d, %d files missing", len(r.joined), len(all), missing)
			}
			// A file that is aligned may be short after a jump.
			if most := int(took/(2*time.Second)) + len(jumps) + 2; len(r.entries) > most {
				t.Errorf("%d files in %v", len(r.entries), took)
			}
			years := make(map[string]bool)
			for _, e := range r.entries {
				years[e.File[:4]] = true
				if want := e.Start.UTC().Format("2006/01/02T150405Z"); !strings.HasPrefix(e.File, want) {
					t.Errorf("%s began at %v", e.File, e.Start)
				}
			}
			if len(years) < 3 {
				t.Errorf("files of the years %v", years)
			}
			if n := len(bytes.Fields(read(t, carried))); n != len(r.entries) {
				t.Errorf("%d of %d files were carried", n, len(r.entries))
			}
			t.Logf("%d files in %v, of the years %v", len(r.entries), took.Round(time.Second), years)
		})
	}
}

// TestClockJumpsWhilePushing: the clock is set again and again while vw-push --live has a connection and while it has
// none, and while vw-ingest has a publisher that pauses. Nothing is too old, nobody is cut, and it dials on as before.
func TestClockJumpsWhilePushing(t *testing.T) {
	t.Parallel()
	clock := newWallClock(t)
	ingest := clock.start(wiring{}, "vw-ingest", "--listen", "127.0.0.1:0", "--idle-timeout", "10s")
	ln := &restarting{Listener: listenAt(t, "127.0.0.1", smallBuffer)}
	server := newSink(t, ln, nil)
	r, w := pipe(t)
	p := clock.start(wiring{stdin: r}, "vw-push", "--live", "--max-age", "10s", "--backoff-max", "500ms",
		"--dead-after", "10s", "--give-up-after", "1h", "--stats", "1s",
		"ws://"+hostOf(ingestURL(ingest)), server.url)
	r.Close()
	feed := newFeeder(t, w, 40*time.Millisecond, camera1300(1).Frame)
	for _, jump := range jumps {
		n := len(server.connections())
		server.wait(t, max(n-1, 0), 1)
		clock.set(jump)
		time.Sleep(300 * time.Millisecond)
		ln.restart(300 * time.Millisecond)
		server.wait(t, n, 1)
	}
	source := feed.end()
	p.wait()
	s := p.account()
	toIngest, toServer := s.Out[0], s.Out[1]
	if toIngest.Connects != 1 || toIngest.Confirmed != int64(len(source)) {
		t.Errorf("%d bytes came in: %+v", len(source), toIngest)
	}
	if d := toServer.Dropped; d.Age+d.Full > 0 || toServer.Connects < int64(len(jumps)) {
		t.Errorf("%+v", toServer)
	}
	ingest.signal(os.Interrupt)
	ingest.expect(0)
	if strings.Contains(ingest.stderr.String(), "publisher cut") {
		t.Errorf("vw-ingest: %s", ingest.stderr)
	}
}
