package test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// slowClients open a connection and then take their time. Each sends until it is cut.
var slowClients = map[string]func(*door, net.Conn){
	"nothing": func(*door, net.Conn) {},
	"a ClientHello, byte by byte": func(d *door, conn net.Conn) {
		hello := recordClientHello(d.tls)
		dribble(conn, append(hello[:5:5], bytes.Repeat([]byte{1, 0, 0, 0xf0}, 100)...))
	},
	"the length of a record, and nothing of it": func(_ *door, conn net.Conn) {
		_, _ = conn.Write([]byte{22, 3, 1, 0x3f, 0xff})
	},
	"empty records": func(_ *door, conn net.Conn) {
		dribble(conn, bytes.Repeat([]byte{22, 3, 1, 0, 0}, 100))
	},
	"a handshake, and nothing after it": func(d *door, conn net.Conn) {
		_ = tls.Client(conn, d.tls).Handshake()
	},
	"a header, byte by byte": func(d *door, conn net.Conn) {
		dribble(tls.Client(conn, d.tls), bytes.Repeat([]byte("X: y\r\n"), 100))
	},
	"a token, and nothing after it": func(d *door, conn net.Conn) { // it gets 409
		_, _ = io.WriteString(tls.Client(conn, d.tls), chunkedPost)
	},
}

// dribble sends a byte at a time, until the connection is cut.
func dribble(conn net.Conn, text []byte) {
	for i := range text {
		if _, err := conn.Write(text[i : i+1]); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// recordClientHello returns what a client sends first.
func recordClientHello(config *tls.Config) []byte {
	here, there := net.Pipe()
	go func() {
		_ = tls.Client(here, config).Handshake()
		here.Close()
	}()
	defer there.Close()
	b := make([]byte, 16<<10)
	n, _ := there.Read(b)
	return b[:n]
}

// TestDoorSlowClients: whoever does not get through the TLS handshake and the header in time is cut, and keeps nobody
// out meanwhile: neither the publisher inside, nor who comes from elsewhere.
func TestDoorSlowClients(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.server("127.0.0.1")
	d := openDoor(t, "--token-file", tokenFile(t), "--tls-cert", cert, "--tls-key", key)
	d.tls = &tls.Config{RootCAs: a.pool(), ServerName: "127.0.0.1"}
	good := d.publish()
	before := descriptors(t, d.process)
	var running sync.WaitGroup
	for name, do := range slowClients {
		for range 30 {
			conn := d.dial(3)
			running.Go(func() {
				do(d, conn)
				if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
					t.Errorf("%s: the connection is left open", name)
				}
				conn.Close()
			})
		}
	}
	for range 5 {
		conn := tls.Client(d.dial(2), d.tls)
		_, _ = io.WriteString(conn, chunkedPost)
		if got := statusOf(conn); got != 409 {
			t.Errorf("a newcomer got %d", got)
		}
		conn.Close()
	}
	running.Wait()
	d.gives(before)
	good.end()
}

// TestDoorIdlePost: a POST is idle while none of its data comes, whatever else it sends, and not while data comes
// slowly.
func TestDoorIdlePost(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--token-file", tokenFile(t), "--format", "raw", "--idle-timeout", "2s")
	conn := d.send(chunkedPost + "5\r\n")
	for i := range 5 { // longer than the idle timeout
		_, _ = io.WriteString(conn, "x")
		d.awaitOut(i + 1)
		time.Sleep(500 * time.Millisecond)
	}
	_, _ = io.WriteString(conn, "\r\n8;")
	dribble(conn, bytes.Repeat([]byte("y"), 200)) // an extension
	if got := statusOf(conn); got != 408 && got != 0 {
		t.Errorf("an idle publisher got %d", got)
	}
	d.find(d.stderr, "sent nothing for too long")
	d.close(0)
	same(t, "what came out", read(t, d.out), []byte("xxxxx"))
}
