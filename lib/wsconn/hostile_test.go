package wsconn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// endless are messages that never end: what begins them, and what is repeated after it.
var endless = map[string]struct{ begin, repeat []byte }{
	"a frame of 2^62 bytes": {
		binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<62),
		make([]byte, 64<<10),
	},
	"continuation frames": {
		[]byte{0x02, 0x81, 0, 0, 0, 0, 'x'},
		bytes.Repeat([]byte{0x00, 0x81, 0, 0, 0, 0, 'x'}, 10_000),
	},
	"empty continuation frames": {
		[]byte{0x02, 0x80, 0, 0, 0, 0},
		bytes.Repeat([]byte{0x00, 0x80, 0, 0, 0, 0}, 10_000),
	},
	"messages and pings": {
		nil,
		bytes.Repeat([]byte{0x89, 0x80, 0, 0, 0, 0, 0x82, 0x81, 0, 0, 0, 0, 'x'}, 5_000),
	},
}

// Close and CloseNow wait for the end of no message, with or without a read that runs.
func TestCloseDuringAnEndlessMessage(t *testing.T) {
	t.Parallel()
	short := func(c *Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := c.Close(ctx, StatusGoingAway, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
	}
	read := func(c *Conn) {
		for {
			_, r, err := c.NextMessage(context.Background())
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r)
		}
	}
	for name, sent := range endless {
		for how, end := range map[string]func(*Conn){
			"CloseNow":                (*Conn).CloseNow,
			"CloseNow while reading":  func(c *Conn) { go read(c); c.CloseNow() },
			"Close":                   short,
			"Close while reading":     func(c *Conn) { go read(c); short(c) },
			"Close while discarding":  func(c *Conn) { c.Discard(); short(c) },
			"Close in mid-message":    func(c *Conn) { startMessage(t, c); short(c) },
			"CloseNow in mid-message": func(c *Conn) { startMessage(t, c); c.CloseNow() },
			"SendClose and CloseNow":  func(c *Conn) { c.SendClose(StatusGoingAway, ""); go read(c); c.CloseNow() },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				ended := make(chan struct{})
				url := serve(t, AcceptOptions{}, func(c *Conn) {
					defer close(ended)
					end(c)
				})
				conn := rawClient(t, url)
				defer conn.Close()
				go io.Copy(io.Discard, conn)
				go func() {
					_, err := conn.Write(sent.begin)
					for err == nil {
						_, err = conn.Write(sent.repeat)
					}
				}()
				select {
				case <-ended:
				case <-time.After(deadline):
					t.Fatal("it waits for the peer")
				}
			})
		}
	}
}

// startMessage begins to read a message.
func startMessage(t *testing.T, c *Conn) {
	if _, _, err := c.NextMessage(testContext(t)); err != nil {
		t.Error(err)
	}
}

// A client ends the connection at what a server must not send, and says why (RFC 6455, 5.1 and 5.2).
func TestServersThatBreakTheProtocol(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent string
		code int
		text string
	}{
		"masked message":          {"\x82\x81\x01\x02\x03\x04x", 1002, "masked frame from a server"},
		"masked ping":             {"\x89\x80\x01\x02\x03\x04", 1002, "masked frame from a server"},
		"masked close":            {"\x88\x80\x01\x02\x03\x04", 1002, "masked frame from a server"},
		"reserved bit":            {"\xc2\x00", 1002, "reserved bit"},
		"reserved opcode":         {"\x83\x00", 1002, "opcode 0x3"},
		"reserved control opcode": {"\x8b\x00", 1002, "opcode 0xb"},
		"fragmented ping":         {"\x09\x00", 1002, "fragmented control frame"},
		"long ping":               {"\x89\x7e\x00\x7e", 1002, "control frame of 126 bytes"},
		"stray continuation":      {"\x80\x00", 1002, "continuation frame outside a message"},
		"message in a message":    {"\x02\x00\x82\x00", 1002, "new message inside another"},
		"length of 2^63":          {"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 1002, "most significant bit"},
		"close of one byte":       {"\x88\x01\x03", 1002, "close frame of one byte"},
		"close with 1006":         {"\x88\x02\x03\xee", 1002, "code 1006"},
		"close without UTF-8":     {"\x88\x03\x03\xe8\xff", 1007, "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codes := make(chan int, 1)
			url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) {
				_, _ = io.WriteString(conn, c.sent)
				op, payload, err := readFrame(r)
				if op != OpClose || len(payload) < 2 || err != nil {
					codes <- 0
					return
				}
				codes <- int(binary.BigEndian.Uint16(payload))
			})
			conn := dial(t, url, DialOptions{})
			<-conn.Done()
			if err := conn.Err(); !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %q", err, c.text)
			}
			if code := <-codes; code != c.code {
				t.Errorf("the server got close code %d, want %d", code, c.code)
			}
		})
	}
}

// A reader returns the bytes of a message as they arrive, unmasked, wherever the network cuts them.
func TestBytesOfAMessageComeAsTheyArrive(t *testing.T) {
	t.Parallel()
	want := []byte(strings.Repeat("0123456789abc", 300))
	frame := appendMessage(nil, want, true)
	more, got := make(chan struct{}), make(chan []byte)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		defer close(got)
		_, r, err := c.NextMessage(context.Background())
		buf := make([]byte, 128<<10)
		for err == nil {
			var n int
			n, err = r.Read(buf)
			if n > 0 {
				got <- bytes.Clone(buf[:n])
			}
		}
	})
	conn := rawClient(t, url)
	defer conn.Close()
	go func() {
		const header = 8
		for at := 0; at < len(frame)-1; { // the last byte never comes
			n := min(997, len(frame)-1-at)
			if at == 0 {
				n += header
			}
			_, _ = conn.Write(frame[at:][:n])
			at += n
			<-more
		}
		conn.Close()
	}()
	var all []byte
	for b := range got {
		all = append(all, b...)
		if len(all)%997 == 0 || len(all) == len(want)-1 {
			more <- struct{}{} // only now is more sent: a reader that waits for more waits for ever
		}
	}
	if !bytes.Equal(all, want[:len(want)-1]) {
		t.Errorf("%d bytes, want the %d that came", len(all), len(want)-1)
	}
}
