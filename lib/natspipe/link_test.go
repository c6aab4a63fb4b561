package natspipe

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestStalledWrite: a write fails when the network takes nothing more, and says how much it has taken.
func TestStalledWrite(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := &stallConn{a, 200 * time.Millisecond}
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
