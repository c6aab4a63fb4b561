package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	// countedFrames is how many frames are counted, once for the system calls and once for the waits.
	countedFrames = 75
	// warmFrames come before: connections, the detection of the format, buffers that grow.
	warmFrames = 50
)

// TestCallsOfAFrame counts what each frame of a camera costs a tool: its system calls, and how often one of its threads
// waits, which is how often the kernel must wake one. It fails above 1.2 times what was counted when this was written.
//
// A busy machine changes next to nothing: a frame is only sent when the one before has come out, so that none is read
// together with another, and what a tool does every so often is counted by the time that has passed. Go's monitoring
// thread is left out, which sleeps often while a tool that runs has no processor; that it is woken counts.
func TestCallsOfAFrame(t *testing.T) {
	tools := buildWithoutRace(t)
	for _, c := range []struct {
		name         string
		start        func(t *testing.T, tools string) *lockstep
		calls, waits float64 // for each frame
	}{
		{"vw-ingest", stepIngest, 5.0, 1.0},
		{"vw-record --tee", stepRecord, 6.1, 1.3},
		{"vw-push", stepPush, 5.3, 1.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.start(t, tools)
			s.frames(warmFrames)
			testwait.AtBest(t, func() error {
				before := s.waits()
				of := s.frames(countedFrames)
				after := s.waits()
				calls, monitor, tracedOf := s.calls(func() float64 { return s.frames(countedFrames) })
				waits := 0
				for thread, n := range after {
					if thread != monitor {
						waits += n - before[thread]
					}
				}
				return errors.Join(exceeds(t, "waits", float64(waits)/of, c.waits),
					exceeds(t, "system calls", float64(calls)/tracedOf, c.calls))
			})
		})
	}
}

// exceeds returns an error if there was more than what is recorded allows.
func exceeds(t *testing.T, what string, got, recorded float64) error {
	t.Helper()
	t.Logf("%s for each frame: %.2f", what, got)
	if got > 1.2*recorded {
		return fmt.Errorf("%s for each frame: %.2f, more than 1.2 times the recorded %.2f", what, got, recorded)
	}
	return nil
}

// buildWithoutRace builds the tools as they are shipped, as one file with links: the race detector's tools make other
// system calls.
func buildWithoutRace(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	one := filepath.Join(folder, "vw")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs,nethttpomithttp2", "-ldflags", "-s -w",
		"-o", one, "../cmd/vw")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build vw: %v\n%s", err, out)
	}
	for _, name := range []string{"vw-ingest", "vw-push", "vw-record"} {
		if err := os.Symlink(one, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// lockstep is a tool that gets a frame when the one before has come out.
type lockstep struct {
	*process
	camera *tsgen.Generator
	send   func(frame []byte) error
	await  func(n int) error // until so many bytes more have come out
}

func newLockstep(p *process) *lockstep {
	return &lockstep{process: p, camera: tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 98, FramePackets: 29})}
}

// frames sends n frames at a camera's pace, and returns how many there would have been in the time that it took.
func (s *lockstep) frames(n int) (of float64) {
	s.t.Helper()
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * frameTime)))
		frame := s.camera.Frame(nil)
		if err := s.send(frame); err != nil {
			s.t.Fatalf("frame %d: %v", i, err)
		}
		if err := s.await(len(frame)); err != nil {
			s.t.Fatalf("frame %d: %v", i, err)
		}
	}
	return max(float64(n), float64(time.Since(began))/float64(frameTime))
}

// waits returns how often each thread has waited.
func (s *lockstep) waits() map[string]int {
	s.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("%s has no threads: %v", s.name, err)
	}
	all := map[string]int{}
	for _, name := range files {
		status, _ := os.ReadFile(name) // a thread may have ended
		if m := waited.FindSubmatch(status); m != nil {
			all[filepath.Base(filepath.Dir(name))], _ = strconv.Atoi(string(m[1]))
		}
	}
	return all
}

var (
	waited = regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s*(\d+)$`)
	// tracedCall is a line of strace about a call that begins: the thread, and the call's name.
	tracedCall = regexp.MustCompile(`(?m)^(\d+) +(\w+)\(`)
)

// calls returns how many system calls the tool makes while f runs, without those of Go's monitoring thread, which it
// also returns, and what f returns.
func (s *lockstep) calls(f func() float64) (n int, monitor string, of float64) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "calls")
	p := start(s.t, wiring{}, "strace", "-f", "-o", file, "-p", strconv.Itoa(s.cmd.Process.Pid))
	if p.find(p.stderr, `(attached|Operation not permitted)`) != "attached" {
		s.t.Skip("SKIPPED: no permission to trace a process")
	}
	of = f()
	p.signal(os.Interrupt)
	p.wait()
	trace, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	counts, byThread := map[string]int{}, map[string]int{}
	all := tracedCall.FindAllSubmatch(trace, -1)
	for _, call := range all {
		if string(call[2]) == "nanosleep" { // nothing else sleeps so
			monitor = string(call[1])
		}
	}
	for _, call := range all {
		byThread[string(call[1])]++
		if string(call[1]) != monitor {
			counts[string(call[2])]++
			n++
		}
	}
	if n == 0 {
		s.t.Fatalf("strace printed no calls:\n%.2000s", trace)
	}
	s.t.Logf("%.0f frames: %v, by thread %v without %s", of, counts, byThread, monitor)
	return n, monitor, of
}

// readOf returns what waits until so many bytes have come from r.
func readOf(r io.Reader) func(n int) error {
	return func(n int) error {
		_, err := io.CopyN(io.Discard, r, int64(n))
		return err
	}
}

func stepIngest(t *testing.T, tools string) *lockstep {
	r, w := pipe(t)
	p := start(t, wiring{stdout: w}, "env", filepath.Join(tools, "vw-ingest"), "--once", "--listen", "127.0.0.1:0")
	w.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(ingestURL(p), "/"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, chunkedPost); err != nil {
		t.Fatal(err)
	}
	s := newLockstep(p)
	// In one write: ffmpeg's three may be read apart, which is up to the machine.
	s.send = func(frame []byte) error {
		_, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(frame), frame)
		return err
	}
	s.await = readOf(r)
	return s
}

func stepRecord(t *testing.T, tools string) *lockstep {
	in, feed := pipe(t)
	copied, out := pipe(t)
	p := start(t, wiring{stdin: in, stdout: out}, "env", filepath.Join(tools, "vw-record"), "--tee",
		filepath.Join(t.TempDir(), "cam.ts"))
	in.Close()
	out.Close()
	s := newLockstep(p)
	s.send = func(frame []byte) error {
		_, err := feed.Write(frame)
		return err
	}
	s.await = readOf(copied)
	return s
}

func stepPush(t *testing.T, tools string) *lockstep {
	arrived, copied := io.Pipe()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for err == nil {
			var message io.Reader
			if _, message, err = conn.NextMessage(r.Context()); err == nil {
				_, err = io.Copy(copied, message)
			}
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { arrived.Close() })
	in, feed := pipe(t)
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	p := start(t, wiring{stdin: in}, "env", filepath.Join(tools, "vw-push"), url)
	in.Close()
	s := newLockstep(p)
	s.send = func(frame []byte) error {
		_, err := feed.Write(frame)
		return err
	}
	s.await = readOf(arrived)
	return s
}
