package test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

func packets(n int) []byte {
	return tsgen.Frames(tsgen.Options{GOP: 25, KeyPackets: 40, FramePackets: 10}, n)[:n*mpegts.PacketSize]
}

// publishAll publishes a whole body.
func (d *door) publishAll(body []byte) {
	d.t.Helper()
	conn := d.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if got := status(d.t, conn); got != 204 {
		d.t.Errorf("a publisher got %d", got)
	}
	conn.Close()
}

// awaitNobody waits until the publisher has gone.
func (d *door) awaitNobody() {
	d.t.Helper()
	testwait.Eventually(d.t, "nobody publishes", func() bool {
		conn := d.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		defer conn.Close()
		return status(d.t, conn) == 503
	})
}

// TestDoorSplices: what may be the beginning of a packet at a publisher's end is delivered when nothing or other bytes
// follow, and dropped when packets do.
func TestDoorSplices(t *testing.T) {
	t.Parallel()
	body := packets(10)
	part := packets(20)[:131]
	died := func(d *door, b []byte) {
		conn := d.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", b))
		d.find(d.stderr, `msg="publisher began"`)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		d.awaitNobody()
	}
	cut := func(d *door, b []byte) { // after --max-body, as a websocket
		conn := d.upgraded()
		_, _ = conn.Write(append(frame(true, 2, int64(len(b)+1)), append(bytes.Clone(b), 'x')...))
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
		d.awaitNobody()
	}
	ended := (*door).publishAll
	join := func(all ...[]byte) (b []byte) {
		for _, p := range all {
			b = append(b, p...)
		}
		return b
	}
	for name, c := range map[string]struct {
		args   []string
		first  func(*door, []byte)
		sent   []byte
		then   []byte
		want   []byte
		torn   int64
		status int
	}{
		"131 bytes, then packets": {first: died, sent: part, then: body, want: body, torn: 131, status: 3},
		"131 bytes, then nothing": {first: died, sent: part, want: part},
		"131 bytes, then others": {first: died, sent: part, then: []byte("hello"),
			want: join(part, []byte("hello"))},
		"131 bytes that are no packet": {first: died, sent: make([]byte, 131), then: body,
			want: join(make([]byte, 131), body)},
		"packets cut short, then packets": {first: died, sent: body[:1000], then: body, want: join(body[:940], body),
			torn: 60, status: 3},
		"ended inside a packet, then more": {first: ended, sent: body[:1000], then: body,
			want: join(body[:940], body), torn: 60, status: 3},
		"ended inside a packet": {first: ended, sent: body[:1000], want: body[:1000]},
		"a short blob":          {first: ended, sent: []byte("GIF89a"), want: []byte("GIF89a")},
		"--max-body inside a packet": {args: []string{"--max-body", "1000"}, first: cut, sent: body[:1000],
			want: body[:1000]},
		"--max-body, then packets": {args: []string{"--max-body", "1000"}, first: cut, sent: body[:1000],
			then: body[:940], want: join(body[:940], body[:940]), torn: 60, status: 3},
		"ended inside a packet, --format ts": {args: []string{"--format", "ts"}, first: ended, sent: body[:1000],
			then: body, want: join(body[:940], body), torn: 60, status: 3},
		"--format raw": {args: []string{"--format", "raw"}, first: died, sent: body[:1000], then: body,
			want: join(body[:1000], body)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, c.args...)
			c.first(d, c.sent)
			if c.then != nil {
				d.publishAll(c.then)
			}
			account := d.close(c.status)
			same(t, "what came out", read(t, d.out), c.want)
			if account.Dropped.Torn != c.torn || account.Dropped.Sum() != c.torn ||
				account.In != int64(len(c.sent)+len(c.then)) {
				t.Errorf("counted as %+v", account)
			}
		})
	}
}

// TestDoorDyingMessage: of a message whose publisher dies, what has come is delivered as far as whole packets go.
func TestDoorDyingMessage(t *testing.T) {
	t.Parallel()
	body := packets(100)
	d := openDoor(t)
	conn := d.upgraded()
	if _, err := conn.Write(append(frame(true, 2, 1<<20), body[:10000]...)); err != nil {
		t.Fatal(err)
	}
	d.awaitOut(10000 / 188 * 188)
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	d.awaitNobody()
	d.publishAll(body)
	account := d.close(3)
	same(t, "what came out", read(t, d.out), append(body[:10000/188*188:10000/188*188], body...))
	if account.In != 10000+int64(len(body)) || account.Dropped.Torn != 10000%188 {
		t.Errorf("counted as %+v", account)
	}
}

// TestDoorTakeovers: 240 publishers, twelve at a time, that die inside packets, leave every packet on the grid.
func TestDoorTakeovers(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--publishers", "takeover", "--token-file", tokenFile(t))
	body := packets(200)
	var all sync.WaitGroup
	for worker := range 12 {
		random := rand.New(rand.NewPCG(uint64(worker), 1))
		all.Go(func() {
			for range 20 {
				conn, err := net.Dial("tcp", d.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = fmt.Fprintf(conn, "%s%x\r\n%s", chunkedPost, 100000, body[:random.IntN(5000)])
				if random.IntN(2) == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}
		})
	}
	all.Wait()
	conn := d.send(fmt.Sprintf("POST /sesame HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if got := status(t, conn); got != 204 && got != 409 { // somebody who died may come later
		t.Errorf("the last publisher got %d", got)
	}
	d.awaitNobody()
	d.publishLast(body)
	out := read(t, d.out)
	for i := 0; i < len(out)/188*188; i += 188 {
		if out[i] != mpegts.SyncByte {
			t.Fatalf("no packet begins at byte %d of %d", i, len(out))
		}
	}
}

// publishLast publishes with the token, and ends the door.
func (d *door) publishLast(body []byte) {
	d.t.Helper()
	conn := d.send(fmt.Sprintf("POST /sesame HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if got := status(d.t, conn); got != 204 {
		d.t.Errorf("the last publisher got %d", got)
	}
	d.signal(syscall.SIGTERM)
	if got := d.wait(); got != 0 && got != 3 {
		d.t.Errorf("exit status %d", got)
	}
	d.account()
}
