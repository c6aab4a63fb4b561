package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// resized returns a stream with packets of 192 bytes (M2TS) or of 204 (with Reed-Solomon code).
func resized(ts []byte, size int) (b []byte) {
	more := make([]byte, size-mpegts.PacketSize)
	for p := range slices.Chunk(ts, mpegts.PacketSize) {
		if size == 192 {
			b = append(append(b, more...), p...)
		} else {
			b = append(append(b, p...), more...)
		}
	}
	return b
}

// otherSizes calls check with packets of each size that MPEG-TS does not have, and with --live and without.
func otherSizes(t *testing.T, check func(t *testing.T, b []byte, live []string)) {
	t.Parallel()
	ts := read(t, sample("h264.ts"))
	for _, size := range []int{192, 204} {
		for _, live := range [][]string{nil, {"--live"}} {
			t.Run(fmt.Sprint(size, live), func(t *testing.T) { check(t, resized(ts, size), live) })
		}
	}
}

const mendingCommand = `hint(?:=|: )"?[^"\n]*(ffmpeg -i INPUT[^"\n]*)`

// TestOtherPacketSizesRecorded: with --format auto the bytes are recorded as they are, with a hint; with ts, no file
// is made. The command of the hint makes a stream that is recorded.
func TestOtherPacketSizesRecorded(t *testing.T) {
	otherSizes(t, func(t *testing.T, b []byte, live []string) {
		record := func(status int, stdin io.Reader, format string) (p *process, files []string) {
			folder := t.TempDir()
			p = start(t, wiring{stdin: stdin}, "vw-record", append(live, "--format", format,
				filepath.Join(folder, "x"))...)
			p.expect(status)
			return p, recorded(t, folder)
		}
		p, files := record(0, bytes.NewReader(b), "auto")
		p.find(p.stderr, mendingCommand)
		same(t, "auto", read(t, files[0]), b)
		p, files = record(1, bytes.NewReader(b), "ts")
		if len(files) != 0 {
			t.Errorf("files were made: %v", files)
		}
		command := p.find(p.stderr, mendingCommand)
		mended, err := exec.Command("sh", "-c", "PATH=$PATH:"+filepath.Dir(tool(t, "ffmpeg"))+" "+
			strings.Replace(command, "INPUT", write(t, "input", b), 1)).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		_, files = record(0, bytes.NewReader(mended), "ts")
		want := probe(t, sample("h264.ts"))
		if got := probe(t, files[0]); got != want {
			t.Errorf("%s makes %+v, want %+v", command, got, want)
		}
	})
}

// TestOtherPacketSizesPushed is the same for vw-push.
func TestOtherPacketSizesPushed(t *testing.T) {
	otherSizes(t, func(t *testing.T, b []byte, live []string) {
		s := serve(t, "--conns", "1")
		p := start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", append(live, s.url)...)
		p.expect(0)
		p.find(p.stderr, mendingCommand)
		s.wait()
		same(t, "auto", s.saved(1), b)

		s = serve(t)
		p = start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", append(live, "--format", "ts", s.url)...)
		p.expect(1)
		p.find(p.stderr, mendingCommand)
		s.signal(syscall.SIGTERM)
		for _, c := range s.report().Connections {
			if c.Bytes != 0 {
				t.Errorf("%d bytes were sent", c.Bytes)
			}
		}
	})
}

// TestOtherPacketSizesPublished: vw-ingest with --format ts refuses a publisher of other packets, and takes the next
// one; with --once it ends with status 1.
func TestOtherPacketSizesPublished(t *testing.T) {
	otherSizes(t, func(t *testing.T, b []byte, live []string) {
		ingest := func(flags ...string) *process {
			return start(t, wiring{}, "vw-ingest", slices.Concat(live, []string{"--listen", "127.0.0.1:0"}, flags)...)
		}
		p := ingest("--once")
		publishTo(t, ingestURL(p), b, false)
		p.expect(0)
		p.find(p.stderr, mendingCommand)
		same(t, "auto", []byte(p.stdout.String()), b)

		p = ingest("--format", "ts", "--once")
		refuse(t, ingestURL(p), b)
		p.expect(1)
		if p.stdout.String() != "" {
			t.Error("bytes were written")
		}
		p.find(p.stderr, mendingCommand)

		p = ingest("--format", "ts")
		url := ingestURL(p)
		refuse(t, url, b)
		p.find(p.stderr, mendingCommand)
		ts := read(t, sample("mpeg1.ts"))
		publishTo(t, url, ts, false)
		p.signal(syscall.SIGTERM)
		p.wait()
		same(t, "the next publisher", []byte(p.stdout.String()), ts)
	})
}

// refuse posts a body that is answered with 415; the connection may end before the answer has come.
func refuse(t *testing.T, url string, body []byte) {
	t.Helper()
	resp, err := http.Post(url, "", bytes.NewReader(body))
	if err != nil {
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("post: %v", err)
		}
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUnsupportedMediaType || !regexp.MustCompile(`188 bytes`).Match(text) {
		t.Errorf("answer %d %q", resp.StatusCode, text)
	}
}
