package test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

// door is a vw-ingest that is attacked.
type door struct {
	*process
	t    *testing.T
	addr string
	out  string      // its standard output
	tls  *tls.Config // of its clients; nil without TLS
}

func openDoor(t *testing.T, args ...string) *door {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := start(t, wiring{stdout: out}, "vw-ingest", append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	return &door{process: p, t: t, addr: hostOf(ingestURL(p)), out: out.Name()}
}

// hostOf returns the address and port of a URL.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "//")
	return strings.Trim(rest, "/")
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
}

// dial connects from an address of this machine: 127.0.0.N.
func (d *door) dial(n byte) net.Conn {
	d.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}, Timeout: testTimeout}
	conn, err := dialer.Dial("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testTimeout))
	return conn
}

// send connects and sends a text.
func (d *door) send(text string) net.Conn {
	d.t.Helper()
	conn := d.dial(1)
	if d.tls != nil {
		conn = tls.Client(conn, d.tls)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		d.t.Fatal(err)
	}
	return conn
}

const chunkedPost = "POST /sesame/cam HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

// status reads the status of a response.
func status(t *testing.T, conn net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	return resp.StatusCode
}

// upgraded connects as a websocket publisher.
func (d *door) upgraded() net.Conn {
	d.t.Helper()
	conn := d.send("GET /sesame HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil); err != nil || resp.StatusCode != 101 {
		d.t.Fatalf("handshake: %v, %v", resp, err)
	}
	return conn
}

// frame is the beginning of a masked binary frame, with the mask 0.
func frame(final bool, opcode byte, length int64) []byte {
	return wsconn.AppendHeader(nil, wsconn.Header{Final: final, Opcode: opcode, Masked: true, Length: length})
}

// awaitOut waits until n bytes have come out.
func (d *door) awaitOut(n int) {
	d.t.Helper()
	testwait.Eventually(d.t, fmt.Sprintf("%d bytes come out", n), func() bool {
		info, err := os.Stat(d.out)
		return err == nil && info.Size() >= int64(n)
	})
}

// close ends the door, which must have the exit status, and returns its account.
func (d *door) close(want int) stream.Counts {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	d.expect(want)
	return d.account().Out[0]
}

// goodPublisher streams while a door is attacked.
type goodPublisher struct {
	d    *door
	conn net.Conn
	stop chan struct{}
	done sync.WaitGroup
	hash [sha256.Size]byte
	sent int
}

// publish lets somebody publish who has the token, 25 frames a second.
func (d *door) publish() *goodPublisher {
	d.t.Helper()
	g := &goodPublisher{d: d, conn: d.send(chunkedPost), stop: make(chan struct{})}
	_ = g.conn.SetDeadline(time.Time{})
	body := tsgen.Frames(tsgen.Options{GOP: 25, KeyPackets: 40, FramePackets: 10, Audio: true}, 1000)
	sum := sha256.New()
	g.done.Go(func() {
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		const piece = 20*mpegts.PacketSize + 100 // not whole packets
		for ; ; g.sent += piece {
			if at := g.sent % (len(body) - piece); true {
				p := body[at : at+piece]
				if g.sent == 0 {
					p = body[:piece]
				}
				sum.Write(p)
				if _, err := fmt.Fprintf(g.conn, "%x\r\n%s\r\n", piece, p); err != nil {
					d.t.Errorf("the good publisher: %v", err)
					return
				}
			}
			select {
			case <-tick.C:
			case <-g.stop:
				g.sent += piece
				copy(g.hash[:], sum.Sum(nil))
				return
			}
		}
	})
	d.find(d.stderr, `msg="publisher began"`)
	return g
}

// end completes the good publisher's stream, and checks that nothing but it has come out.
func (g *goodPublisher) end() {
	g.d.t.Helper()
	close(g.stop)
	g.done.Wait()
	if g.d.t.Failed() {
		return
	}
	_, _ = io.WriteString(g.conn, "0\r\n\r\n")
	if got := status(g.d.t, g.conn); got != 204 {
		g.d.t.Errorf("the good publisher got %d", got)
	}
	g.d.close(0)
	if out := read(g.d.t, g.d.out); len(out) != g.sent || sha256.Sum256(out) != g.hash {
		g.d.t.Errorf("%d bytes came out of the %d sent, or others", len(out), g.sent)
	}
	if log := g.d.stderr.String(); strings.Contains(log, "sesame") {
		g.d.t.Errorf("the token is in the log")
	}
}

func tokenFile(t *testing.T) string {
	t.Helper()
	file := write(t, "tokens", []byte("sesame\n"))
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// flood writes p again and again until the connection fails.
func flood(conn net.Conn, p []byte) {
	for {
		if _, err := conn.Write(p); err != nil {
			return
		}
	}
}

// endlessMessages are websocket messages that never end.
var endlessMessages = map[string]struct{ begin, more []byte }{
	"one frame of 2^62 bytes": {frame(true, wsconn.OpBinary, 1<<62), make([]byte, 64<<10)},
	"frames that continue it": {frame(false, wsconn.OpBinary, 0),
		bytes.Repeat(append(frame(false, wsconn.OpContinuation, 10), make([]byte, 10)...), 1000)},
	"empty frames that go on": {frame(false, wsconn.OpBinary, 0),
		bytes.Repeat(frame(false, wsconn.OpContinuation, 0), 1000)},
	"messages, one after another": {nil, bytes.Repeat(append(frame(true, wsconn.OpBinary, 10), make([]byte, 10)...),
		1000)},
}

// TestDoorShutdown: whatever a publisher keeps sending, the first signal ends vw-ingest, and a second one at once.
func TestDoorShutdown(t *testing.T) {
	t.Parallel()
	for name, message := range endlessMessages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, twice := range []bool{false, true} {
				// It must not be --linger that ends it.
				d := openDoor(t, "--token-file", tokenFile(t), "--format", "raw", "--linger", "1h")
				conn := d.upgraded()
				go flood(conn, append(bytes.Clone(message.begin), message.more...))
				go io.Copy(io.Discard, conn)
				d.find(d.stderr, `msg="publisher began"`)
				d.signal(syscall.SIGTERM)
				if twice {
					d.signal(syscall.SIGINT)
				}
				if got := d.wait(); got != 0 && !(twice && got == 1) {
					t.Errorf("twice %v: exit status %d", twice, got)
				}
			}
		})
	}
}

// TestDoorPullShutdown: the same with a server that is pulled from.
func TestDoorPullShutdown(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.Discard()
		for conn.Write(t.Context(), make([]byte, 64<<10)) == nil {
		}
	})}
	go server.Serve(ln)
	defer server.Close()
	for _, twice := range []bool{false, true} {
		out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, wiring{stdout: out}, "vw-ingest", "--pull", "ws://"+ln.Addr().String()+"/", "--format", "raw")
		out.Close()
		p.find(p.stderr, `msg="publisher began"`)
		p.signal(syscall.SIGTERM)
		if twice {
			p.signal(syscall.SIGINT)
		}
		if got := p.wait(); got != 0 && !(twice && got == 1) {
			t.Errorf("twice %v: exit status %d", twice, got)
		}
	}
}

// TestDoorFreesThePlace: who was taken over, sent too much or text, and goes on sending, keeps no place.
func TestDoorFreesThePlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args  []string
		begin []byte
	}{
		"taken over": {[]string{"--publishers", "takeover"}, frame(true, wsconn.OpBinary, 1<<62)},
		"too large":  {[]string{"--max-body", "1000"}, frame(true, wsconn.OpBinary, 1<<62)},
		"text":       {nil, frame(true, wsconn.OpText, 1<<62)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, append(c.args, "--format", "raw")...)
			for range 5 {
				conn := d.upgraded() // it is the publisher
				go flood(conn, append(bytes.Clone(c.begin), make([]byte, 64<<10)...))
				testwait.Eventually(t, "somebody else publishes", func() bool {
					next := d.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
					defer next.Close()
					return status(t, next) == 204
				})
				if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
					t.Error("the connection is left open")
				}
			}
			d.close(0)
		})
	}
}
