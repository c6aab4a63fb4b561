package test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// blob returns n bytes that are no MPEG-TS.
func blob(n int, seed uint64) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	if n > 0 && b[0] == 0x47 {
		b[0] = 0
	}
	return b
}

// post sends a body, chunked if length is negative, and returns the status of the answer.
func post(t testing.TB, method, url string, body io.Reader, length int64) int {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testTimeout}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestBlobRecordedEqualsBlob: a binary blob sent to the HTTP endpoint, recorded to file, equals the blob.
func TestBlobRecordedEqualsBlob(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{"raw": blob(3_000_001, 1), "ts": read(t, sample("mpeg1.ts"))} {
		for _, length := range []int64{-1, int64(len(b))} {
			t.Run(fmt.Sprintf("%s, length %d", name, length), func(t *testing.T) {
				rec := filepath.Join(t.TempDir(), "rec")
				p := pipeline(t, nil,
					stage{"vw-ingest", []string{"--listen", "127.0.0.1:0", "--once"}},
					stage{"vw-record", []string{filepath.Join(rec, "%Y%m%dT%H%M%SZ.ts")}})
				if got := post(t, "POST", ingestURL(p[0]), bytes.NewReader(b), length); got != http.StatusNoContent {
					t.Errorf("status %d", got)
				}
				for _, p := range p {
					p.expect(0)
					p.all(int64(len(b)))
				}
				files := recorded(t, rec)
				if len(files) != 1 {
					t.Fatalf("files %v", files)
				}
				same(t, "the recording", read(t, files[0]), b)
			})
		}
	}
}

// TestBlobReceivedEqualsBlob: a binary blob sent to the HTTP endpoint equals what a websocket server receives.
func TestBlobReceivedEqualsBlob(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{"raw": blob(3_000_001, 2), "ts": read(t, sample("h264.ts")), "empty": nil} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "--conns", "1", "--expect-file", write(t, "want", b))
			p := pipeline(t, nil,
				stage{"vw-ingest", []string{"--listen", "127.0.0.1:0", "--once"}},
				stage{"vw-push", []string{s.url + "/cam1"}})
			if got := post(t, "PUT", ingestURL(p[0])+"any/path", bytes.NewReader(b), -1); got != http.StatusNoContent {
				t.Errorf("status %d", got)
			}
			for _, p := range p {
				p.expect(0)
				p.all(int64(len(b)))
			}
			s.expect(0)
			same(t, "what arrived", s.saved(1), b)
			if r := s.report(); !r.Passed || r.Connections[0].Path != "/cam1" || r.Connections[0].Close.Code != 1000 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestTwoBlobsToTwoServers: two different blobs, one after the other, forwarded to two websocket servers: both get
// both, as sent.
func TestTwoBlobsToTwoServers(t *testing.T) {
	t.Parallel()
	blobs := [][]byte{blob(700_001, 3), blob(400_003, 4)}
	joined := bytes.Join(blobs, nil)
	a, b := serve(t, "--conns", "1"), serve(t, "--conns", "1")
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0"}},
		stage{"vw-push", []string{a.url + "/a", b.url + "/b"}})
	url := ingestURL(p[0])
	for _, blob := range blobs {
		if got := post(t, "POST", url, bytes.NewReader(blob), int64(len(blob))); got != http.StatusNoContent {
			t.Errorf("status %d", got)
		}
	}
	p[0].signal(os.Interrupt)
	for _, p := range p {
		p.expect(0)
		p.all(int64(len(joined)))
	}
	for _, s := range []*server{a, b} {
		s.expect(0)
		same(t, "what arrived", s.saved(1), joined)
	}
}

// TestBlobOfMaximumSize: a blob of the maximum size is forwarded whole; one byte more is refused before any byte.
func TestBlobOfMaximumSize(t *testing.T) {
	t.Parallel()
	const limit = 500_000
	s := serve(t, "--conns", "1")
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0", "--max-body", fmt.Sprint(limit)}},
		stage{"vw-push", []string{s.url}})
	url := ingestURL(p[0])
	b := blob(limit+1, 5)
	if got := post(t, "POST", url, bytes.NewReader(b), limit+1); got != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte more: status %d", got)
	}
	if got := post(t, "POST", url, bytes.NewReader(b[:limit]), limit); got != http.StatusNoContent {
		t.Errorf("the maximum: status %d", got)
	}
	p[0].signal(os.Interrupt)
	for _, p := range p {
		p.expect(0)
		p.all(limit)
	}
	s.expect(0)
	same(t, "what arrived", s.saved(1), b[:limit])
}

// TestBlobOfMaximumMessage: a raw blob of exactly --max-message arrives as one message, one byte more as two or more.
func TestBlobOfMaximumMessage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4096, 4097} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := blob(size, 6)
			s := serve(t, "--conns", "1")
			start(t, wiring{stdin: bytes.NewReader(b)}, "vw-push", "--max-message", "4096", s.url).expect(0)
			s.expect(0)
			same(t, "what arrived", s.saved(1), b)
			got := s.report().Connections[0].Messages
			if size == 4096 && got != 1 || size > 4096 && got < 2 {
				t.Errorf("%d bytes came as %d messages", size, got)
			}
		})
	}
}

// TestBlobsOfVaryingSizes: a sequence of blobs whose sizes go up and down arrives in order, for TS and for raw bytes.
func TestBlobsOfVaryingSizes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	var raw, ts [][]byte
	for i, size := range []int{1, 3_000_000, 4096, 17, 262144, 2, 262145, 100_000, 1, 5_000_000, 188, 65536, 65537, 9} {
		raw = append(raw, blob(size, uint64(i+100)))
	}
	for i := range 8 {
		o := tsgen.Options{GOP: 1 + random.IntN(20), KeyPackets: 1 + random.IntN(300), FramePackets: 1 +
			random.IntN(60), Seed: uint64(i)}
		ts = append(ts, tsgen.Frames(o, 3+random.IntN(200)))
	}
	for name, blobs := range map[string][][]byte{"raw": raw, "ts": ts} {
		t.Run(name, func(t *testing.T) {
			joined := bytes.Join(blobs, nil)
			s := serve(t, "--conns", "1")
			p := pipeline(t, nil,
				stage{"vw-ingest", []string{"--listen", "127.0.0.1:0"}},
				stage{"vw-push", []string{s.url}})
			url := ingestURL(p[0])
			for i, b := range blobs {
				length := int64(len(b))
				if i%2 == 0 {
					length = -1
				}
				if got := post(t, "POST", url, bytes.NewReader(b), length); got != http.StatusNoContent {
					t.Errorf("blob %d: status %d", i, got)
				}
			}
			p[0].signal(os.Interrupt)
			for _, p := range p {
				p.expect(0)
				p.all(int64(len(joined)))
			}
			s.expect(0)
			same(t, "what arrived", s.saved(1), joined)
		})
	}
}

// TestShortFileToOneServer: a short file to vw-push with one server that saves: the files are equal.
func TestShortFileToOneServer(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mpeg1.ts", "h264.ts", "intra.ts", "audio.ts"} {
		t.Run(name, func(t *testing.T) {
			b := read(t, sample(name))
			s := serve(t, "--conns", "1", "--expect-file", sample(name))
			f, err := os.Open(sample(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p := start(t, wiring{stdin: f}, "vw-push", s.url)
			p.expect(0)
			p.all(int64(len(b)))
			s.expect(0)
			same(t, "what arrived", s.saved(1), b)
		})
	}
}

// TestCurlPublishes: curl -T - and curl --data-binary are publishers.
func TestCurlPublishes(t *testing.T) {
	t.Parallel()
	curl := tool(t, "curl")
	file := sample("mpeg1.ts")
	b := read(t, file)
	for name, args := range map[string]string{
		"-T -":          "-T - %s < " + file,
		"-T FILE":       "-T " + file + " %s",
		"--data-binary": "--data-binary @" + file + " %s",
		"100-continue":  "-H 'Expect: 100-continue' --data-binary @" + file + " %s",
	} {
		t.Run(name, func(t *testing.T) {
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			p := start(t, wiring{stdout: out}, "vw-ingest", "--listen", "127.0.0.1:0", "--once")
			script := curl + " -sS -w '%%{http_code}' " + args
			c := start(t, wiring{}, "bash", "-c", fmt.Sprintf(script, ingestURL(p)))
			c.expect(0)
			if got := strings.TrimSpace(c.stdout.String()); got != "204" {
				t.Errorf("curl got %q", got)
			}
			p.expect(0)
			p.all(int64(len(b)))
			same(t, "what was written", read(t, out.Name()), b)
		})
	}
}
