package natspipe

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// carryTo carries connections to a server. pass passes on what comes from there, and ends the connection by an error.
func carryTo(t *testing.T, url string, pass func(client net.Conn, chunk []byte) error) (through string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
			if err != nil || pass(client, buf[:n]) != nil {
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
	t.Cleanup(func() { _ = ln.Close() })
	return "nats://" + ln.Addr().String()
}

// loseAnswer carries connections to a server, and ends the first one when the answer comes that contains text, which it
// does not pass on.
func loseAnswer(t *testing.T, url, text string) (through string) {
	t.Helper()
	var lost atomic.Bool
	t.Cleanup(func() {
		if !lost.Load() {
			t.Error("no answer was lost")
		}
	})
	return carryTo(t, url, func(client net.Conn, chunk []byte) error {
		if bytes.Contains(chunk, []byte(text)) && lost.CompareAndSwap(false, true) {
			return io.EOF
		}
		_, err := client.Write(chunk)
		return err
	})
}

// TestLateAnswers: an answer that comes when the message has been sent again confirms it.
func TestLateAnswers(t *testing.T) {
	var held []byte // an answer, until the one to the next try comes
	o := options(carryTo(t, startServer(t, ""), func(client net.Conn, chunk []byte) error {
		if seq := bytes.Index(chunk, []byte(`"seq":`)); seq >= 0 {
			begin := bytes.LastIndex(chunk[:seq], []byte("MSG "))
			end := seq + bytes.IndexByte(chunk[seq:], '\n') + 1
			late := bytes.Clone(chunk[begin:end])
			chunk = slices.Concat(held, chunk[:begin], chunk[end:])
			held = late
		}
		_, err := client.Write(chunk)
		return err
	}))
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = p.Run(context.Background(), ctx, strings.NewReader("ten bytes."))
	if c := p.account.Counts(); err != nil || c.Confirmed != 10 || c.Resent == 0 {
		t.Errorf("%v, %+v", err, c)
	}
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
