package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// watched is a vw-push with viewers, and the pipe to its standard input.
type watched struct {
	*process
	in   *os.File
	http string
	ws   string
}

// startWatched starts a vw-push that listens for viewers.
func startWatched(t testing.TB, args ...string) *watched {
	t.Helper()
	r, w := pipe(t)
	p := start(t, wiring{stdin: r}, "vw-push", append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	_ = r.Close()
	url := p.find(p.stderr, `msg="listening for viewers" .*url=(\S+)`)
	return &watched{p, w, url, "ws" + url[len("http"):]} // https becomes wss
}

// viewers waits until so many viewers are connected.
func (w *watched) viewers(n int) {
	w.t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	testwait.Eventually(w.t, "the viewers are connected", func() bool {
		resp, err := client.Get(w.http + "stream.json")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var status struct{ Viewers int }
		return json.NewDecoder(resp.Body).Decode(&status) == nil && status.Viewers == n
	})
}

func (w *watched) write(b []byte) {
	w.t.Helper()
	if _, err := w.in.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// account returns the ledger's entry of the viewers.
func (w *watched) account() stream.Counts {
	w.t.Helper()
	for _, c := range w.process.account().Out {
		if c.To == "viewers" {
			return c
		}
	}
	w.t.Fatal("the ledger has no viewers")
	return stream.Counts{}
}

// TestForeignViewers: viewers that are not ours, and vw-ingest --pull, get every byte, and learn of the end, with
// and without TLS.
func TestForeignViewers(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	ca := newAuthority(t)
	cert, key := ca.server("127.0.0.1")
	trust := []string{"SSL_CERT_FILE=" + ca.file, "NODE_EXTRA_CA_CERTS=" + ca.file}
	for name, flags := range map[string][]string{
		"mpeg1.ts": nil,
		"h264.ts":  {"--listen-tls-cert", cert, "--listen-tls-key", key},
	} {
		t.Run(name, func(t *testing.T) {
			b := read(t, sample(name))
			w := startWatched(t, append(flags, "--live")...)
			folder := t.TempDir()
			file := func(who string) string { return filepath.Join(folder, who) }
			pulled, err := os.Create(file("pulled"))
			if err != nil {
				t.Fatal(err)
			}
			defer pulled.Close()
			pull := start(t, wiring{stdout: pulled, env: trust}, "vw-ingest", "--once", "--pull", w.ws+"cam1")
			node := start(t, wiring{env: trust}, "node", "node/ws-viewer.mjs", w.ws, file("node"))
			python := start(t, wiring{env: trust}, "/usr/bin/python3", "python/ws-viewer.py", w.ws+"any/path",
				file("python"))
			w.viewers(3)
			w.write(b)
			_ = w.in.Close()
			pull.wait()
			node.find(node.stdout, `"code":(1001)`)
			node.expect(0)
			python.find(python.stdout, `"code": (1001)`)
			python.expect(0)
			w.expect(0)
			for _, who := range []string{"pulled", "node", "python"} {
				same(t, who, read(t, file(who)), b)
			}
			if c := w.account(); c.Confirmed != 3*int64(len(b)) || c.In != c.Confirmed || c.Connects != 3 {
				t.Errorf("the ledger: %+v", c)
			}
		})
	}
}

// TestViewerJoinsInMidStream: a viewer that comes late gets the current group of pictures at once, and plays it.
func TestViewerJoinsInMidStream(t *testing.T) {
	t.Parallel()
	b := read(t, sample("mpeg1.ts"))
	half := len(b) / 2 / mpegts.PacketSize * mpegts.PacketSize
	w := startWatched(t, "--live")
	w.write(b[:half])
	testwait.Eventually(t, "the stream flows", func() bool {
		resp, err := http.Get(w.http + "healthz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	v := viewStream(t, w.ws)
	v.atLeast(1) // before anything more comes in
	w.write(b[half:])
	_ = w.in.Close()
	got := v.end(wsconn.StatusGoingAway)
	w.expect(0)
	if !bytes.HasSuffix(b, got) || len(got) < len(b)-half {
		t.Fatalf("%d bytes came that are not the end of the stream, of which %d came in after it had joined", len(got),
			len(b)-half)
	}
	file := write(t, "got.ts", got)
	startsWithKeyframe(t, file)
	decodes(t, file)
}

// wsViewer is a viewer in the test's process.
type wsViewer struct {
	t    testing.TB
	conn *wsconn.Conn
	done chan struct{}

	mu  sync.Mutex
	got []byte
}

func viewStream(t testing.TB, url string) *wsViewer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn, err := wsconn.Dial(ctx, url, wsconn.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v := &wsViewer{t: t, conn: conn, done: make(chan struct{})}
	t.Cleanup(func() { conn.CloseNow(); <-v.done })
	go v.run()
	return v
}

func (v *wsViewer) run() {
	defer close(v.done)
	for {
		_, r, err := v.conn.NextMessage(context.Background())
		if err != nil {
			return
		}
		b, _ := io.ReadAll(r)
		v.mu.Lock()
		v.got = append(v.got, b...)
		v.mu.Unlock()
	}
}

// atLeast waits until so many bytes have come.
func (v *wsViewer) atLeast(n int) {
	v.t.Helper()
	testwait.Eventually(v.t, "bytes have come", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.got) >= n
	})
}

// end waits for the end of the connection, with that close code, and returns what came.
func (v *wsViewer) end(code int) []byte {
	v.t.Helper()
	select {
	case <-v.done:
	case <-time.After(testTimeout):
		v.t.Fatal("the connection did not end")
	}
	var closed *wsconn.CloseError
	if err := v.conn.Err(); !errors.As(err, &closed) || closed.Code != code {
		v.t.Errorf("the connection ended with %v, not %d", err, code)
	}
	return v.got
}

// TestStalledViewers: ten of twenty viewers take nothing, at 16 times a camera's rate. The others get every byte, and
// the stalled ones are closed.
func TestStalledViewers(t *testing.T) {
	t.Parallel()
	w := startWatched(t, "--live", "--dead-after", "3s")
	var good []*wsViewer
	for range 10 {
		good = append(good, viewStream(t, w.ws))
		stall(t, w.http)
	}
	w.viewers(20)
	gen := tsgen.New(tsgen.Options{GOP: 25, KeyPackets: 1500, FramePackets: 500, Seed: 1})
	f := newFeeder(t, w.in, 40*time.Millisecond, gen.Frame)
	w.viewers(10)
	in := f.end()
	f.neverWaited()
	for _, v := range good {
		same(t, "what a good viewer got", v.end(wsconn.StatusGoingAway), in)
	}
	w.expect(0) // what viewers lose is their own loss
	if c := w.account(); c.Dropped.Sum() == 0 || c.Confirmed < 10*int64(len(in)) {
		t.Errorf("the ledger: %+v", c)
	}
}

// stall is a viewer that never reads.
func stall(t testing.TB, url string) net.Conn {
	t.Helper()
	addr := url[len("http://") : len(url)-1]
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestViewersAndSignals: the first signal lets what comes still be delivered, within --linger; the second one does not.
func TestViewersAndSignals(t *testing.T) {
	t.Parallel()
	b := read(t, sample("mpeg1.ts"))
	t.Run("first", func(t *testing.T) {
		w := startWatched(t, "--live", "--linger", "1s")
		v := viewStream(t, w.ws)
		stall(t, w.http)
		w.viewers(2)
		w.write(b)
		w.signal(syscall.SIGTERM)
		same(t, "what came", v.end(wsconn.StatusGoingAway), b)
		w.expect(0)
	})
	t.Run("second", func(t *testing.T) {
		w := startWatched(t, "--live", "--linger", "1h")
		viewStream(t, w.ws)
		stall(t, w.http)
		w.viewers(2)
		w.signal(syscall.SIGTERM)
		w.signal(syscall.SIGINT)
		w.expect(1)
	})
}

// TestNewEncoderWithViewers: where clocks go back, viewers are closed with 1012, and the next connection begins anew.
func TestNewEncoderWithViewers(t *testing.T) {
	t.Parallel()
	b := read(t, sample("mpeg1.ts"))
	other := read(t, sample("h264.ts"))
	w := startWatched(t, "--live")
	v := viewStream(t, w.ws)
	w.viewers(1)
	w.write(b)
	v.atLeast(len(b) / 2)
	w.write(other)
	v.end(wsconn.StatusServiceRestart)
	next := viewStream(t, w.ws)
	next.atLeast(1)
	_ = w.in.Close()
	got := next.end(wsconn.StatusGoingAway)
	w.expect(0)
	if !bytes.HasSuffix(other, got) {
		t.Errorf("the next connection brought %d bytes that are not the end of the second stream", len(got))
	}
}
