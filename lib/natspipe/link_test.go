package natspipe

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStalledWrite: a write fails when the network takes nothing more, and says how much it has taken.
func TestStalledWrite(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := &watchedConn{Conn: a, silence: 200 * time.Millisecond}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, writePiece)
		for range 10 {
			if _, err := b.Read(buf); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	n, err := c.Write(make([]byte, 20*writePiece))
	<-read
	if n != 10*writePiece || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes written, and %v", n, err)
	}
}

func TestServers(t *testing.T) {
	for raw, want := range map[string]string{
		"nats://host": "nats://host:4222", "tls://user:pw@host:1": "tls://host:1", "ws://h": "ws://h:80",
		"wss://h/path": "wss://h:443",
	} {
		u, err := parseServer(raw)
		if err != nil || (server{url: u}).name() != want {
			t.Errorf("%s: %v, %v", raw, u, err)
		}
	}
	for _, raw := range []string{"", "host", "http://host", "nats://", "nats://user:a/b@host", "nats://a b"} {
		if CheckServer(raw) == nil {
			t.Errorf("%q passes", raw)
		}
	}
}

// TestSilentServer: a connection ends when nothing comes for the limit, and not while a little comes now and then.
func TestSilentServer(t *testing.T) { synctest.Test(t, testSilentServer) }

func testSilentServer(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := &watchedConn{Conn: a, silence: 300 * time.Millisecond}
	c.watch()
	go func() {
		for range 4 {
			time.Sleep(100 * time.Millisecond)
			_, _ = b.Write([]byte("x"))
		}
	}()
	began, n := time.Now(), 0
	var err error
	for buf := make([]byte, 10); err == nil; n++ {
		_, err = c.Read(buf)
	}
	if n != 5 || time.Since(began) != 700*time.Millisecond || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("%d reads in %v, and %v", n, time.Since(began), err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("the connection is still there")
	}
	if _, also := c.Write([]byte("x")); also != err {
		t.Errorf("a write says %v", also)
	}
}

// TestFrozenServer: a server that takes a connection and says nothing is left for the next one long before the time
// for a dial is over.
func TestFrozenServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := options(startServer(t, ""))
	c, err := newConnector(&o, o.DeadAfter)
	if err != nil {
		t.Fatal(err)
	}
	frozen := server{url: &url.URL{Scheme: "nats", Host: ln.Addr().String()}}
	c.servers = append([]server{frozen}, c.servers...)
	began := time.Now()
	l, err := c.dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	if took := time.Since(began); took < firstDial || took > o.DialTimeout/2 {
		t.Errorf("connected after %v", took)
	}
}
