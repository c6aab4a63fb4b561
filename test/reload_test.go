package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestReloadUnderLoad: the destinations change 50 times while a stream flows, from one server to the other and to both.
// What both got together has no gap, and each connection begins with a keyframe and is closed in order.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			t.Parallel()
			a, b := serve(t), serve(t)
			file := filepath.Join(t.TempDir(), "to")
			to := func(servers ...*server) {
				t.Helper()
				lines := []string{"# where to"}
				for _, s := range servers {
					lines = append(lines, s.url+"/x")
				}
				if err := os.WriteFile(file, []byte(strings.Join(lines, "\n\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			to(a)
			r, w := pipe(t)
			args := []string{"--to-file", file}
			if live {
				args = append(args, "--live")
			}
			p := start(t, wiring{stdin: r}, "vw-push", args...)
			r.Close()
			a.find(a.stdout, `"event":"connected"`)
			g := tsgen.New(tsgen.Options{GOP: 5, KeyPackets: 30, FramePackets: 10, Audio: true})
			var source []byte
			sets := [][]*server{{a, b}, {b}, {a}, {b, a}, {a}}
			for i := range 50 {
				for range 8 {
					frame := g.Frame(nil)
					source = append(source, frame...)
					if _, err := w.Write(frame); err != nil {
						t.Fatal(err)
					}
					time.Sleep(5 * time.Millisecond) // of video, at 200 frames a second
				}
				to(sets[i%len(sets)]...)
				p.signal(syscall.SIGHUP)
			}
			if err := os.WriteFile(file, []byte("not a URL\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			p.signal(syscall.SIGHUP)
			p.find(p.stderr, `the destinations stay as they are`)
			w.Close()
			p.expect(0)

			covered := map[string]bool{}
			for _, s := range []*server{a, b} {
				s.signal(os.Interrupt)
				s.expect(0)
				for i, c := range s.report().Connections {
					if c.Close.Code != 1000 {
						t.Errorf("connection %d: closed with %d", i+1, c.Close.Code)
					}
					got := s.saved(c.ID)
					if len(got) == 0 {
						continue
					}
					startsWithKeyframe(t, write(t, "arrived.ts", got))
					for ; len(got) >= mpegts.PacketSize; got = got[mpegts.PacketSize:] {
						covered[string(got[:mpegts.PacketSize])] = true
					}
				}
			}
			missing := 0
			for b := source; len(b) > 0; b = b[mpegts.PacketSize:] {
				if pid := mpegts.Packet(b).PID(); pid >= 0x20 && !covered[string(b[:mpegts.PacketSize])] {
					missing++
				}
			}
			if missing > 0 {
				t.Errorf("%d of %d packets arrived nowhere", missing, len(source)/mpegts.PacketSize)
			}
		})
	}
}

// TestDestinationThatMoved: the file of destinations is read again before each dial, without a signal, and a bad one
// changes nothing.
func TestDestinationThatMoved(t *testing.T) {
	t.Parallel()
	s := serve(t, "--conns", "1")
	file := filepath.Join(t.TempDir(), "to")
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	replace("ws://127.0.0.1:1/gone\n")
	r, w := pipe(t)
	p := start(t, wiring{stdin: r}, "vw-push", "--to-file", file, "--format", "raw", "--linger", "100ms",
		"--backoff-max", "300ms")
	r.Close()
	p.find(p.stderr, `msg="no connection" .*connection refused`)
	replace("not a URL\n")
	p.find(p.stderr, `level=ERROR msg="the destinations stay as they are"`)
	replace(s.url + "/here\n")
	p.find(p.stderr, `msg="destination removed" .*/gone`)
	p.find(p.stderr, `msg=connected .*/here`)
	if _, err := w.WriteString("after the move"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p.wait() // the one that moved may have got its share before it was removed
	s.expect(0)
	same(t, "what arrived", s.saved(1), []byte("after the move"))
	if n := strings.Count(p.stderr.String(), "stay as they are"); n != 1 {
		t.Errorf("said %d times that the file is bad; stderr:\n%s", n, p.stderr)
	}
}

// TestFilesThatArePipes: what process substitution gives can be read once, and that does.
func TestFilesThatArePipes(t *testing.T) {
	t.Parallel()
	token := write(t, "token", []byte("sesame\n"))
	s := serve(t, "--conns", "1", "--token-file", token)
	p := start(t, wiring{stdin: strings.NewReader("through")}, "bash", "-c",
		`"$1" --to-file <(echo "$2") --token-file <(cat "$3")`, "bash", tool(t, "vw-push"), s.url+"/x", token)
	p.expect(0)
	s.expect(0)
	same(t, "what arrived", s.saved(1), []byte("through"))
	if strings.Contains(p.stderr.String(), "WARN") || strings.Contains(p.stderr.String(), "ERROR") {
		t.Errorf("stderr:\n%s", p.stderr)
	}
}
