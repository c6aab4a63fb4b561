package test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// rawFrame is a frame with the first two bytes as they are given, an extended length, and the mask of zeros if the
// second byte says that there is one.
func rawFrame(first, second byte, length []byte, payload string) string {
	b := append([]byte{first, second}, length...)
	if second&0x80 != 0 {
		b = append(b, 0, 0, 0, 0)
	}
	return string(b) + payload
}

// short is a masked frame whose length fits the second byte.
func short(first byte, payload string) string {
	return rawFrame(first, 0x80|byte(len(payload)), nil, payload)
}

func closing(code uint16, reason string) string {
	return short(0x88, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// hello is a whole message.
var hello = short(0x82, "hello")

// frameShapes are what a websocket publisher may send, and the code that it is closed with.
var frameShapes = []struct {
	name string
	text string
	code int // 1005: an empty close frame; 0: any or none, for a publisher that goes without one
	out  string
}{
	{"a message", hello + closing(1000, ""), 1000, "hello"},
	{"an end without a close frame", hello, 0, "hello"},
	{"RSV1", hello + short(0xc2, "no"), 1002, "hello"},
	{"RSV2", hello + short(0xa2, "no"), 1002, "hello"},
	{"RSV3", hello + short(0x92, "no"), 1002, "hello"},
	{"RSV1 on a ping", hello + short(0xc9, "no"), 1002, "hello"},
	{"RSV1 on a continuation", short(0x02, "hello") + short(0xc0, "no"), 1002, "hello"},
	{"opcode 3", hello + short(0x83, "no"), 1002, "hello"},
	{"opcode 7", hello + short(0x87, "no"), 1002, "hello"},
	{"opcode 11", hello + short(0x8b, "no"), 1002, "hello"},
	{"opcode 15", hello + short(0x8f, "no"), 1002, "hello"},
	{"no mask", hello + rawFrame(0x82, 2, nil, "no"), 1002, "hello"},
	{"no mask on a ping", hello + rawFrame(0x89, 2, nil, "no"), 1002, "hello"},
	{"no mask on a close frame", hello + rawFrame(0x88, 2, nil, "\x03\xe8"), 1002, "hello"},
	{"a ping in fragments", hello + short(0x09, "no") + short(0x80, "no"), 1002, "hello"},
	{"a close frame in fragments", hello + short(0x08, "\x03\xe8"), 1002, "hello"},
	{"a ping of 126 bytes", hello + rawFrame(0x89, 0xfe, []byte{0, 126}, strings.Repeat("x", 126)), 1002, "hello"},
	{"a close frame of 126 bytes", hello + rawFrame(0x88, 0xfe, []byte{0, 126}, "\x03\xe8"+strings.Repeat("x",
		124)), 1002, "hello"},
	{"a ping of 2^62 bytes", hello + rawFrame(0x89, 0xff, []byte{0x40, 0, 0, 0, 0, 0, 0, 0}, "x"), 1002, "hello"},
	// RFC 6455 demands the shortest form, but nothing depends on it: the frame is read as it says.
	{"a length of 16 bits that needs 7", rawFrame(0x82, 0xfe, []byte{0, 5}, "hello") + closing(1000, ""), 1000,
		"hello"},
	{"a length of 64 bits that needs 7", rawFrame(0x82, 0xff, []byte{0, 0, 0, 0, 0, 0, 0, 5}, "hello") +
		closing(1000, ""), 1000, "hello"},
	{"a length of 2^63", hello + rawFrame(0x82, 0xff, []byte{0x80, 0, 0, 0, 0, 0, 0, 0}, "no"), 1002, "hello"},
	{"a length of 2^63-1", rawFrame(0x82, 0xff, []byte{0x7f, 255, 255, 255, 255, 255, 255, 255}, "hello"), 0,
		"hello"},
	{"a continuation of nothing", hello + short(0x80, "no"), 1002, "hello"},
	{"a continuation after the end", short(0x02, "hel") + short(0x80, "lo") + short(0x80, "no"), 1002, "hello"},
	{"a message inside a message", short(0x02, "hello") + short(0x82, "no"), 1002, "hello"},
	{"text inside a message", short(0x02, "hello") + short(0x81, "no"), 1002, "hello"},
	{"a ping inside a message", short(0x02, "hel") + short(0x89, "ping") + short(0x80, "lo") + closing(1000, ""),
		1000, "hello"},
	{"a close frame inside a message", short(0x02, "hello") + closing(1000, ""), 1000, "hello"},
	{"empty fragments", short(0x02, "") + short(0x00, "") + short(0x00, "hello") + short(0x80, "") + closing(1000,
		""), 1000, "hello"},
	{"empty messages", short(0x82, "") + hello + short(0x82, "") + closing(1000, ""), 1000, "hello"},
	{"a mask", "\x82\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e" + closing(1000, ""), 1000, "hello"},
	{"text", hello + short(0x81, "no"), 1003, "hello"},
	{"empty text", hello + short(0x81, ""), 1003, "hello"},
	{"text that is no UTF-8", hello + short(0x81, "\xff\xfe"), 1003, "hello"},
	{"text in fragments", hello + short(0x01, "no") + short(0x80, "no"), 1003, "hello"},
	{"an empty close frame", hello + short(0x88, ""), 1005, "hello"},
	{"a close frame of one byte", hello + short(0x88, "\x03"), 1002, "hello"},
	{"code 0", hello + closing(0, ""), 1002, "hello"},
	{"code 999", hello + closing(999, ""), 1002, "hello"},
	{"code 1004", hello + closing(1004, ""), 1002, "hello"},
	{"code 1005", hello + closing(1005, ""), 1002, "hello"},
	{"code 1006", hello + closing(1006, ""), 1002, "hello"},
	{"code 1015", hello + closing(1015, ""), 1002, "hello"},
	{"code 2999", hello + closing(2999, ""), 1002, "hello"},
	{"code 5000", hello + closing(5000, ""), 1002, "hello"},
	{"code 65535", hello + closing(65535, ""), 1002, "hello"},
	{"code 1001", hello + closing(1001, "bye"), 1001, "hello"},
	{"code 3000", hello + closing(3000, "of its own"), 3000, "hello"},
	{"a reason of 123 bytes", hello + closing(1000, strings.Repeat("x", 123)), 1000, "hello"},
	{"a reason that is no UTF-8", hello + closing(1000, "\xff"), 1007, "hello"},
	{"a reason with a surrogate", hello + closing(1000, "\xed\xa0\x80"), 1007, "hello"},
	{"a message after the end", hello + closing(1000, "") + short(0x82, "no"), 1000, "hello"},
	{"two close frames", hello + closing(1000, "") + closing(3000, ""), 1000, "hello"},
	{"a pong that nobody asked for", short(0x8a, "x") + hello + closing(1000, ""), 1000, "hello"},
	{"10,000 pings", strings.Repeat(short(0x89, "x"), 10_000) + hello + closing(1000, ""), 1000, "hello"},
	{"10,000 pongs", strings.Repeat(short(0x8a, "x"), 10_000) + hello + closing(1000, ""), 1000, "hello"},
	{"10,000 empty fragments", short(0x02, "hello") + strings.Repeat(short(0x00, ""), 10_000) + short(0x80, "") +
		closing(1000, ""), 1000, "hello"},
	{"10,000 messages of a byte", strings.Repeat(short(0x82, "x"), 10_000) + closing(1000, ""), 1000,
		strings.Repeat("x", 10_000)},
}

const doorHandshake = "GET /sesame HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"

// closeCode reads a server's answer to the handshake, and frames to the end of the connection, and returns the code of
// its close frame.
func closeCode(t *testing.T, conn net.Conn) (code int) {
	t.Helper()
	b, err := io.ReadAll(conn) // a reset may follow what counts
	if isTimeout(err) {
		t.Error("the connection is left open")
	}
	header, frames, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(header, []byte("HTTP/1.1 101 ")) || bytes.Contains(header, []byte("Extensions")) {
		t.Errorf("the handshake was answered with %q", b)
	}
	for len(frames) >= 2 {
		size := wsconn.HeaderSize(frames)
		h, err := wsconn.ParseHeader(frames)
		if err != nil || h.Check(false, false) != nil || len(frames) < size+int(h.Length) {
			t.Fatalf("a frame from vw-ingest: %+v, %v", h, err)
		}
		payload := frames[size:][:h.Length]
		frames = frames[size+int(h.Length):]
		if h.Opcode != wsconn.OpClose {
			continue
		}
		if len(frames) > 0 {
			t.Errorf("%d bytes come after the close frame", len(frames))
		}
		if len(payload) == 0 {
			return wsconn.StatusNoStatusRcvd
		}
		return int(binary.BigEndian.Uint16(payload))
	}
	return 0
}

// TestDoorFrameShapes: whatever frames come, the bytes of the messages come out as far as RFC 6455 allows them, and the
// close code says what was wrong. Each shape comes at once, with the handshake before it, and in pieces.
func TestDoorFrameShapes(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--token-file", tokenFile(t), "--format", "raw")
	before := descriptors(t, d.process)
	var want bytes.Buffer
	for _, c := range frameShapes {
		for _, pieces := range []bool{false, true} {
			if pieces && (len(c.text) > 1000 || c.code == wsconn.StatusUnsupportedData) {
				continue // it waits for an answer to the close frame for a second
			}
			conn := d.dial(1)
			if pieces {
				_ = conn.(*net.TCPConn).SetNoDelay(true)
				_, _ = io.WriteString(conn, doorHandshake)
				for _, b := range []byte(c.text) {
					_, _ = conn.Write([]byte{b})
				}
			} else {
				go io.WriteString(conn, doorHandshake+c.text)
			}
			if c.code == 0 {
				time.AfterFunc(10*time.Millisecond, func() { _ = conn.(*net.TCPConn).CloseWrite() })
			}
			if got := closeCode(t, conn); got != c.code && c.code != 0 {
				t.Errorf("%s, in pieces: %v: closed with %d, want %d", c.name, pieces, got, c.code)
			}
			conn.Close()
			d.awaitNobody()
			want.WriteString(c.out)
			d.awaitOut(want.Len())
			if out := read(t, d.out); !bytes.Equal(out, want.Bytes()) {
				t.Fatalf("%s: out came %q", c.name, out[min(len(out), want.Len()-len(c.out)):])
			}
		}
	}
	d.gives(before)
	d.close(0)
	d.keepsSecret("sesame")
}

// TestDoorFrameShapesRefused: while somebody publishes, no frame is read of anybody else.
func TestDoorFrameShapesRefused(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--token-file", tokenFile(t))
	good := d.publish()
	before := descriptors(t, d.process)
	for _, c := range frameShapes {
		if got := d.answer(doorHandshake + c.text); got != 409 {
			t.Errorf("%s: status %d, want 409", c.name, got)
		}
		if got := d.answer(strings.Replace(doorHandshake, "sesame", "wr0ng", 1) + c.text); got != 401 {
			t.Errorf("%s, with a wrong token: status %d, want 401", c.name, got)
		}
	}
	d.gives(before)
	good.end()
	d.keepsSecret("wr0ng")
}

// TestDoorPingFlood: a publisher that sends pings without an end and reads no pong costs no memory, and goes on.
func TestDoorPingFlood(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--token-file", tokenFile(t), "--format", "raw", "--idle-timeout", "0")
	conn := d.upgraded()
	pings := strings.Repeat(short(0x89, strings.Repeat("x", 125)), 1000)
	before := rss(t, d.process)
	for range 100 { // 13 MB
		if _, err := io.WriteString(conn, pings); err != nil {
			t.Fatal(err)
		}
	}
	if after := rss(t, d.process); after > before+32<<10 {
		t.Errorf("%d KiB more memory", after-before)
	}
	if _, err := io.WriteString(conn, hello+closing(1000, "")); err != nil {
		t.Fatal(err)
	}
	d.awaitOut(5)
	pongs, _ := io.ReadAll(conn)
	if !bytes.HasSuffix(pongs, []byte("\x88\x02\x03\xe8")) {
		t.Error("no close frame at the end")
	}
	d.close(0)
	if out := read(t, d.out); string(out) != "hello" {
		t.Errorf("out came %q", out)
	}
}
