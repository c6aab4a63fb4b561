package natspipe

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// loseAnswer carries connections to a server, and ends the first one when the answer comes that contains text, which it
// does not pass on.
func loseAnswer(t *testing.T, url, text string) (through string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Bool
	carry := func(client net.Conn) {
		defer client.Close()
		server, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
		if err != nil {
			return
		}
		defer server.Close()
		go func() { _, _ = io.Copy(server, client) }() // ends with the connections
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || bytes.Contains(buf[:n], []byte(text)) && lost.CompareAndSwap(false, true) {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go carry(client)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		if !lost.Load() {
			t.Error("no answer was lost")
		}
	})
	return "nats://" + ln.Addr().String()
}

// TestLostAnswer: a message whose answer is lost with the connection is sent again, and that the stream has it already
// is no error.
func TestLostAnswer(t *testing.T) {
	o := options(loseAnswer(t, startServer(t, ""), `"seq":3}`))
	o.MaxMessage = 1000
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Run(context.Background(), context.Background(), strings.NewReader(strings.Repeat("ten bytes.", 500)))
	if c := p.account.Counts(); err != nil || c.Confirmed != 5000 || c.Resent == 0 {
		t.Errorf("%v, %+v", err, c)
	}
}
