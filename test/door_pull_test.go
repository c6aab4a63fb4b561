package test

import (
	"bufio"
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

	"github.com/timdrysdale/vw/lib/wsconn"
)

// fromServer is a frame without a mask.
func fromServer(first byte, payload string) string {
	return rawFrame(first, byte(len(payload)), nil, payload)
}

// hostileServers are what a server answers to the handshake: ACCEPT stands for the right answer to it. Of all that, out
// comes what is given. After it, the server closes the connection, or keeps it open.
var hostileServers = map[string]struct {
	text string
	out  string
	open bool
}{
	"nothing":        {text: ""},
	"no answer":      {text: "", open: true},
	"half an answer": {text: "HTTP/1.1 101 Switching", open: true},
	"something else": {text: "220 mail.example.org ESMTP\r\n"},
	"an endless header": {text: "HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("X: y\r\n",
		50_000), open: true},
	"an endless refusal": {text: "HTTP/1.1 404 Not Found\r\n\r\n" + strings.Repeat("secret ", 50_000),
		open: true},
	"a redirection to itself": {text: "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"},
	"continue, for ever":      {text: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50_000), open: true},
	"200":                     {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	"a wrong key":             {text: strings.Replace(acceptance, "ACCEPT", "AAAA", 1) + fromServer(0x82, "no")},
	"no key": {text: strings.Replace(acceptance, "Sec-WebSocket-Accept: ACCEPT\r\n", "", 1) +
		fromServer(0x82, "no")},
	"another protocol": {text: strings.Replace(acceptance, "websocket", "h2c", 1) + fromServer(0x82, "no")},
	"an extension": {text: strings.Replace(acceptance, "\r\n\r\n",
		"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1) + fromServer(0xc2, "no")},
	"a subprotocol": {text: strings.Replace(acceptance, "\r\n\r\n",
		"\r\nSec-WebSocket-Protocol: x\r\n\r\n", 1) + fromServer(0x82, "no")},
	"a message with the answer": {text: acceptance + fromServer(0x82, "hello"), out: "hello"},
	"a masked message": {text: acceptance + fromServer(0x82, "hello") + short(0x82, "no"), out: "hello",
		open: true},
	"text": {text: acceptance + fromServer(0x82, "hello") + fromServer(0x81, "no"),
		out: "hello", open: true},
	"a reserved bit": {text: acceptance + fromServer(0x82, "hello") + fromServer(0xc2, "no"),
		out: "hello", open: true},
	"a reserved opcode": {text: acceptance + fromServer(0x82, "hello") + fromServer(0x83, "no"),
		out: "hello", open: true},
	"a continuation of nothing": {text: acceptance + fromServer(0x82, "hello") + fromServer(0x80, "no"),
		out: "hello", open: true},
	"a length of 2^63": {text: acceptance + rawFrame(0x82, 0x7f, []byte{0x80, 0, 0, 0, 0, 0, 0, 0}, "no"),
		open: true},
	"a length of 2^62": {text: acceptance + rawFrame(0x82, 0x7f, []byte{0x40, 0, 0, 0, 0, 0, 0, 0},
		"hello"), out: "hello"},
	"a code that is none": {text: acceptance + fromServer(0x82, "hello") + fromServer(0x88, "\x03\xed"),
		out: "hello", open: true},
	"a reason that is no UTF-8": {text: acceptance + fromServer(0x82, "hello") + fromServer(0x88, "\x03\xe8\xff"),
		out: "hello", open: true},
	"a reason with a line feed": {text: acceptance + fromServer(0x82, "hello") + fromServer(0x88,
		"\x03\xf3\nlevel=ERROR msg=forged"), out: "hello", open: true},
	"pings": {text: acceptance + strings.Repeat(fromServer(0x89, strings.Repeat("x", 125)),
		10_000) + fromServer(0x82, "hello"), out: "hello", open: true},
	"silence after the answer":   {text: acceptance, open: true},
	"empty messages, for ever":   {text: acceptance + strings.Repeat(fromServer(0x82, ""), 10_000), open: true},
	"half a message and silence": {text: acceptance + fromServer(0x02, "hello"), out: "hello", open: true},
}

const acceptance = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Accept: ACCEPT\r\n\r\n"

// answerHandshake reads a handshake and answers it with a text.
func answerHandshake(conn net.Conn, text string) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	accept := wsconn.AcceptKey(req.Header.Get("Sec-WebSocket-Key"))
	_, _ = io.WriteString(conn, strings.Replace(text, "ACCEPT", accept, 1))
}

// TestDoorPullHostile: whatever a server does, what comes of it comes out as far as it is allowed, the next connection
// begins, and a signal ends vw-ingest.
func TestDoorPullHostile(t *testing.T) {
	t.Parallel()
	for name, c := range hostileServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			var serving sync.WaitGroup
			serving.Go(func() {
				first, err := ln.Accept()
				if err != nil {
					return
				}
				defer first.Close()
				answerHandshake(first, c.text)
				if !c.open {
					first.Close()
				}
				for { // the good one, again and again: it may be dialled once more before it stops
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						defer conn.Close()
						answerHandshake(conn, acceptance+fromServer(0x82, "the next"))
						_, _ = io.Copy(io.Discard, conn)
					})
				}
			})
			url := fmt.Sprintf("ws://user:sesame@%s/in/cam", ln.Addr())
			p := start(t, wiring{stdout: out}, "vw-ingest", "--pull", url, "--format", "raw", "--idle-timeout", "1s")
			d := &door{process: p, t: t, out: out.Name()}
			d.awaitOut(len(c.out) + len("the next"))
			p.signal(syscall.SIGTERM)
			p.expect(0)
			ln.Close()
			serving.Wait()
			if got := string(read(t, out.Name())); !strings.HasPrefix(got, c.out+"the next") {
				t.Errorf("out came %q", got)
			}
			d.keepsSecret("sesame")
			if strings.Contains(p.stderr.String(), "\nlevel=ERROR") {
				t.Error("a line in the log is forged")
			}
		})
	}
}
