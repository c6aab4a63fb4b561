package test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
)

// camera starts ffmpeg with a picture of its own, in real time, that never ends by itself.
func camera(t testing.TB, url string) *process {
	t.Helper()
	return start(t, wiring{}, "ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i",
		"testsrc2=size=320x240:rate=25",
		"-c:v", "mpeg1video", "-b:v", "600k", "-g", "12", "-bf", "0", "-f", "mpegts", "-muxdelay", "0.001", url)
}

// fullPipeline is camera, ingest, record and push to a server, all running.
type fullPipeline struct {
	ffmpeg, ingest, record, push *process
	server                       *server
	rec                          string
}

// startFullPipeline starts all of it, with more flags for all tools, for vw-ingest and for vw-push, and returns when
// two files have been recorded.
func startFullPipeline(t testing.TB, all, ingest, push []string) *fullPipeline {
	t.Helper()
	f := &fullPipeline{rec: t.TempDir(), server: serve(t, "--conns", "1")}
	p := pipeline(t, nil,
		stage{"vw-ingest", slices.Concat([]string{"--listen", "127.0.0.1:0"}, all, ingest)},
		stage{"vw-record", slices.Concat([]string{"--tee", "--rotate-frames", "12"}, all,
			[]string{filepath.Join(f.rec, "%Y%m%dT%H%M%SZ.ts")})},
		stage{"vw-push", slices.Concat(all, push, []string{f.server.url})})
	f.ingest, f.record, f.push = p[0], p[1], p[2]
	f.ffmpeg = camera(t, ingestURL(f.ingest))
	f.server.find(f.server.stdout, `"event":"connected"`)
	testwait.Eventually(t, "two files, and a third that is being written", func() bool {
		return len(finished(f.rec)) >= 2
	})
	return f
}

// finished returns the finished files in a folder in which recording goes on.
func finished(folder string) []string {
	files, _ := filepath.Glob(filepath.Join(folder, "*.ts"))
	return files
}

// checkFiles checks the recording, and that it is a beginning of what arrived or the other way round.
func (f *fullPipeline) checkFiles(t testing.TB) (joined []byte) {
	t.Helper()
	files := recorded(t, f.rec)
	for i, file := range files {
		startsWithKeyframe(t, file)
		if i < len(files)-1 {
			decodes(t, file)
		} else {
			decodesWhole(t, file)
		}
		joined = append(joined, read(t, file)...)
	}
	return joined
}

// TestEndedBySIGTERM: the signal reaches the whole pipeline, as Ctrl-C does; what is in the pipes arrives.
func TestEndedBySIGTERM(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		f := startFullPipeline(t, nil, nil, nil)
		for _, p := range []*process{f.ffmpeg, f.ingest, f.record, f.push} {
			p.signal(sig)
		}
		f.ffmpeg.wait()
		for _, p := range []*process{f.ingest, f.record, f.push} {
			p.expect(0)
		}
		f.server.expect(0)
		arrived := f.server.saved(1)
		for _, p := range []*process{f.ingest, f.record, f.push} {
			p.all(int64(len(arrived)))
		}
		same(t, "the recording", f.checkFiles(t), arrived)
	}
}

// TestEndedByPublisher: the publisher ends, and with --once the pipeline after it.
func TestEndedByPublisher(t *testing.T) {
	t.Parallel()
	for _, died := range []bool{false, true} {
		f := startFullPipeline(t, []string{"--live"}, []string{"--once"}, nil)
		if died {
			f.ffmpeg.signal(os.Kill)
		} else {
			f.ffmpeg.signal(syscall.SIGTERM)
		}
		f.ffmpeg.wait()
		if died {
			f.ingest.find(f.ingest.stderr, `level=WARN.*publisher`)
		} else {
			f.ingest.find(f.ingest.stderr, `level=INFO.*publisher.*end`)
		}
		status := f.ingest.wait()
		torn := f.ingest.account().Out[0].Dropped.Torn
		if want := map[bool]int{false: 0, true: 3}[torn > 0]; status != want {
			t.Errorf("vw-ingest: status %d with %d torn bytes", status, torn)
		}
		f.record.expect(0)
		f.push.expect(0)
		f.server.expect(0)
		arrived := f.server.saved(1)
		same(t, "the recording", f.checkFiles(t), arrived)
		if r := f.server.report(); r.Connections[0].TS.SyncErrors != 0 || r.Connections[0].TS.ContinuityErrors != 0 {
			t.Errorf("%+v", r.Connections[0].TS)
		}
	}
}

// TestEndedByServer: the server goes away for good; with --give-up-after the push ends with 1, and the recording goes
// on without it.
func TestEndedByServer(t *testing.T) {
	t.Parallel()
	f := startFullPipeline(t, nil, nil, []string{"--give-up-after", "3s"})
	f.server.signal(os.Kill)
	f.push.expect(1)
	f.push.account()
	f.record.find(f.record.stderr, `(?i)standard output`)
	before := len(finished(f.rec))
	testwait.Eventually(t, "two more files", func() bool { return len(finished(f.rec)) >= before+2 })
	f.ffmpeg.signal(syscall.SIGTERM)
	f.ffmpeg.wait()
	f.ingest.signal(syscall.SIGTERM)
	f.ingest.expect(0)
	f.record.expect(1) // its reader had gone
	in := f.ingest.account().In.Bytes
	if r := f.record.account().Out[0]; r.Confirmed != in || int64(len(f.checkFiles(t))) != in {
		t.Errorf("of %d bytes: %+v", in, r)
	}
}

// TestIngestEndedByServer: without a recording between them, vw-ingest ends as soon as vw-push has given up.
func TestIngestEndedByServer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0"}},
		stage{"vw-push", []string{"--give-up-after", "3s", s.url}})
	camera(t, ingestURL(p[0]))
	s.find(s.stdout, `"event":"connected"`)
	s.signal(os.Kill)
	p[1].expect(1)
	p[0].expect(1) // its stdout is gone
	p[0].account()
	p[1].account()
	if out := p[0].stderr.String(); strings.Contains(out, "error:") {
		t.Errorf("noise: %s", out)
	}
}

// TestServerComesBack: the server is restarted in the middle; with live the stream goes on at a keyframe, and both
// connections decode.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	address := freeAddress(t) // which nobody takes while the server is away
	s := serve(t, "--listen", address)
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0"}},
		stage{"vw-push", []string{"--live", s.url}})
	c := camera(t, ingestURL(p[0]))
	s.receives(1, 100_000)
	s.signal(os.Kill)
	s.wait()
	again := serve(t, "--listen", address, "--conns", "1", "--expect-clean")
	again.receives(1, 100_000)
	c.signal(syscall.SIGTERM)
	c.wait()
	p[0].signal(syscall.SIGTERM)
	p[0].expect(0)
	p[1].expect(3) // what was lost with the connection
	if d := p[1].account().Out[0].Dropped; d.Lost == 0 && d.Resync == 0 {
		t.Errorf("%+v", d)
	}
	again.expect(0)
	arrived := write(t, "arrived.ts", again.saved(1))
	startsWithKeyframe(t, arrived)
	decodesWhole(t, arrived)
}

// TestEndedByHead: the reader of the pipeline's end goes away.
func TestEndedByHead(t *testing.T) {
	t.Parallel()
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0"}},
		stage{"vw-record", []string{"--tee", filepath.Join(t.TempDir(), "x.ts")}},
		stage{"head", []string{"-c", "100000"}})
	c := camera(t, ingestURL(p[0]))
	p[2].expect(0)
	if n := len(p[2].stdout.String()); n != 100_000 {
		t.Errorf("head got %d bytes", n)
	}
	// vw-record goes on recording without a reader.
	p[1].find(p[1].stderr, `(?i)standard output|stdout`)
	c.signal(syscall.SIGTERM)
	c.wait()
	p[0].signal(syscall.SIGTERM)
	p[0].expect(0)
	p[1].expect(1)
	p[1].account()
}

// TestIngestEndedByHead: vw-ingest alone ends with 1 when its output has no reader any more.
func TestIngestEndedByHead(t *testing.T) {
	t.Parallel()
	p := pipeline(t, nil,
		stage{"vw-ingest", []string{"--listen", "127.0.0.1:0"}},
		stage{"head", []string{"-c", "1000"}})
	url := ingestURL(p[0])
	_, _ = http.Post(url, "", bytes.NewReader(make([]byte, 1000)))
	p[1].expect(0)
	p[0].expect(1)
	p[0].account()
	if out := p[0].stderr.String(); strings.Contains(out, "error:") {
		t.Errorf("noise: %s", out)
	}
}
