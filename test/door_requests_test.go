package test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
)

// shape is what a client sends on one connection, and what must become of it.
type shape struct {
	name   string
	text   string
	status int    // of the response, after 100
	out    string // what comes out
}

const (
	toSesame      = "POST /sesame HTTP/1.1\r\nHost: x\r\n"
	upgradeSesame = "GET /sesame HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	version13     = "Sec-WebSocket-Version: 13\r\n"
	sampleKey     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	fiveBytes     = "Content-Length: 5\r\n\r\nhello"
	helloChunk    = "5\r\nhello\r\n0\r\n\r\n"
)

// requestShapes are headers that servers have been found to read in more than one way. The token is sesame.
var requestShapes = []shape{
	{"a length", toSesame + fiveBytes, 204, "hello"},
	{"more than the length", toSesame + "Content-Length: 5\r\n\r\nhello and more", 204, "hello"},
	{"no body", toSesame + "Content-Length: 0\r\n\r\n", 204, ""},
	{"less than the length", toSesame + "Content-Length: 5\r\n\r\nhell", 400, "hell"},
	{"a length and chunks", toSesame + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + helloChunk, 204,
		"hello"},
	{"the same length twice", toSesame + "Content-Length: 5\r\n" + fiveBytes, 204, "hello"},
	{"two lengths", toSesame + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, ""},
	{"two lengths in a list", toSesame + "Content-Length: 5, 6\r\n\r\nhello!", 400, ""},
	{"a signed length", toSesame + "Content-Length: +5\r\n\r\nhello", 400, ""},
	{"a negative length", toSesame + "Content-Length: -5\r\n\r\nhello", 400, ""},
	{"a length in hex", toSesame + "Content-Length: 0x5\r\n\r\nhello", 400, ""},
	{"an empty length", toSesame + "Content-Length:\r\n\r\nhello", 400, ""},
	{"a length of 2^64+5", toSesame + "Content-Length: 18446744073709551621\r\n\r\nhello", 400, ""},
	{"neither", toSesame + "\r\nhello", 411, ""},
	{"chunked twice", toSesame + "Transfer-Encoding: chunked, chunked\r\n\r\n" + helloChunk, 400, ""},
	{"chunked in two fields", toSesame + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" +
		helloChunk, 400, ""},
	{"gzip, chunked", toSesame + "Transfer-Encoding: gzip, chunked\r\n\r\n" + helloChunk, 400, ""},
	{"identity and a length", toSesame + "Transfer-Encoding: identity\r\n" + fiveBytes, 400, ""},
	{"chunked with a vertical tab", toSesame + "Transfer-Encoding: \x0bchunked\r\n\r\n" + helloChunk, 400, ""},
	{"chunked in capitals", toSesame + "tRANSFER-eNCODING: ChUnKeD\r\n\r\n" + helloChunk, 204, "hello"},
	{"a space before the colon", toSesame + "Content-Length : 5\r\n\r\nhello", 400, ""},
	{"a folded field", toSesame + "Transfer-Encoding:\r\n chunked\r\n\r\n" + helloChunk, 400, ""},
	{"a first field that is folded", "POST /sesame HTTP/1.1\r\n Host: x\r\n" + fiveBytes, 400, ""},
	{"a bare line feed", "POST /sesame HTTP/1.1\r\nHost: x\n" + fiveBytes, 400, ""},
	{"a bare line feed at the end", toSesame + "Content-Length: 5\n\nhello", 400, ""},
	{"a bare carriage return", "POST /sesame HTTP/1.1\r\nHost: x\r" + fiveBytes, 400, ""},
	{"an empty line first", "\r\nPOST /sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 400, ""},
	{"NUL in a value", toSesame + "X: a\x00b\r\n" + fiveBytes, 400, ""},
	{"NUL in a name", toSesame + "X\x00: a\r\n" + fiveBytes, 400, ""},
	{"NUL in the path", "POST /sesame/\x00 HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 400, ""},
	{"a field without a colon", toSesame + "nonsense\r\n" + fiveBytes, 400, ""},
	{"a field without a name", toSesame + ": y\r\n" + fiveBytes, 400, ""},
	{"no Host", "POST /sesame HTTP/1.1\r\n" + fiveBytes, 400, ""},
	{"two Hosts", toSesame + "Host: y\r\n" + fiveBytes, 400, ""},
	{"a Host with a space", "POST /sesame HTTP/1.1\r\nHost: x y\r\n" + fiveBytes, 400, ""},
	{"an absolute URI", "POST http://y/sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 204, "hello"},
	{"two slashes first", "POST //sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 204, "hello"},
	{"the token as the query", "POST /?sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 401, ""},
	{"up and down", "POST /x/../sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 401, ""},
	{"a bad escape", "POST /sesame/%zz HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 400, ""},
	{"an asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405, ""},
	{"CONNECT", "CONNECT sesame:80 HTTP/1.1\r\nHost: sesame:80\r\n\r\nhello", 405, ""},
	{"TRACE", "TRACE /sesame HTTP/1.1\r\nHost: x\r\n\r\n", 405, ""},
	{"a method in small letters", "post /sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 405, ""},
	{"two spaces", "POST  /sesame HTTP/1.1\r\nHost: x\r\n" + fiveBytes, 400, ""},
	{"HTTP/1.0", "POST /sesame HTTP/1.0\r\n" + fiveBytes, 204, "hello"},
	{"HTTP/1.0 with chunks", "POST /sesame HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" +
		helloChunk, 400, ""},
	{"HTTP/0.9", "GET /sesame\r\n\r\n", 400, ""},
	{"HTTP/1.2", "POST /sesame HTTP/1.2\r\nHost: x\r\n" + fiveBytes, 204, "hello"},
	{"HTTP/2.0", "POST /sesame HTTP/2.0\r\nHost: x\r\n" + fiveBytes, 505, ""},
	{"HTTP/11", "POST /sesame HTTP/11\r\nHost: x\r\n" + fiveBytes, 400, ""},
	{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505, ""},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
	{"100-continue", toSesame + "Expect: 100-Continue\r\n" + fiveBytes, 204, "hello"},
	{"something else expected", toSesame + "Expect: 200-ok\r\n" + fiveBytes, 417, ""},
	{"two expectations", toSesame + "Expect: 100-continue\r\nExpect: more\r\n" + fiveBytes, 417, ""},
	{"gzip", toSesame + "Content-Encoding: gzip\r\n" + fiveBytes, 415, ""},
	{"a second request", toSesame + fiveBytes + goodPost, 204, "hello"},
	{"a second request after no body", toSesame + "Content-Length: 0\r\n\r\n" + goodPost, 204, ""},
	{"a second request after a GET", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + goodPost, 503, ""},
	{"a GET with a body", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n" + goodPost, 503, ""},
	{"65 fields", toSesame + strings.Repeat("X: y\r\n", 64) + fiveBytes, 431, ""},
	{"64 fields", toSesame + strings.Repeat("X: y\r\n", 62) + fiveBytes, 204, "hello"},
	{"17 KiB", toSesame + "X: " + strings.Repeat("y", 17<<10) + "\r\n" + fiveBytes, 431, ""},
	{"half a header", toSesame + "Content-Length: 5\r\n", 400, ""},
	{"a websocket of version 8", upgradeSesame + "Sec-WebSocket-Version: 8\r\n" + sampleKey + "\r\n", 400, ""},
	{"a websocket without a key", upgradeSesame + version13 + "\r\n", 400, ""},
	{"a websocket with two keys", upgradeSesame + version13 + sampleKey +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", 400, ""},
	{"a websocket with a short key", upgradeSesame +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBs\r\n\r\n", 400, ""},
	{"a websocket over HTTP/1.0",
		strings.Replace(upgradeSesame, "1.1", "1.0", 1) + version13 + sampleKey + "\r\n", 400, ""},
	{"a websocket that is not to be kept",
		strings.Replace(upgradeSesame, "Upgrade", "close", 1) + version13 + sampleKey + "\r\n", 400, ""},
	{"HTTP/2 without TLS",
		"GET /sesame HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" +
			"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 405, ""},
	{"a POST that asks for a websocket", toSesame + "Connection: Upgrade\r\nUpgrade: websocket\r\n" + fiveBytes,
		204, "hello"},
}

const goodPost = "POST /sesame HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nsmuggled"

// chunkShapes are chunked bodies.
var chunkShapes = []shape{
	{"one chunk", "5\r\nhello\r\n0\r\n\r\n", 204, "hello"},
	{"many zeros", "00005\r\nhello\r\n0000\r\n\r\n", 204, "hello"},
	{"a sign", "+5\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"a minus", "-5\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"0x", "0x5\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"a space first", " 5\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"a space after", "5 \r\nhello\r\n0\r\n\r\n", 204, "hello"},
	{"no digit", "\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"no hex digit", "5g\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"an underscore", "0_5\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"a digit of another script", "٥\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"NUL", "5\x00\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"2^63", "8000000000000000\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"2^64+5", "10000000000000005\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"2^63-1, and then not", "7fffffffffffffff\r\nhello", 400, "hello"},
	{"an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", 204, "hello"},
	{"an extension after a space", "5 ; a = b\r\nhello\r\n0\r\n\r\n", 204, "hello"},
	{"an extension without a name", "5;\r\nhello\r\n0\r\n\r\n", 204, "hello"},
	{"an extension with a line feed", "5;a\nhello\r\n0\r\n\r\n", 400, ""},
	{"an extension with a carriage return", "5;a\rb\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"an extension of 8 KiB", "5;" + strings.Repeat("x", 8<<10) + "\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"a line feed for a line", "5\nhello\r\n0\r\n\r\n", 400, ""},
	{"a carriage return too many", "5\r\r\nhello\r\n0\r\n\r\n", 400, ""},
	{"a carriage return for a line", "5\rhello\r\n0\r\n\r\n", 400, ""},
	{"data that is too long", "5\r\nhello!\r\n0\r\n\r\n", 400, "hello"},
	{"data that is too short", "5\r\nhell\r\n0\r\n\r\n", 400, "hell\r"},
	{"a line feed after data", "5\r\nhello\n0\r\n\r\n", 400, "hello"},
	{"no line after data", "5\r\nhello0\r\n\r\n", 400, "hello"},
	{"no last chunk", "5\r\nhello\r\n", 400, "hello"},
	{"nothing after the last chunk", "5\r\nhello\r\n0\r\n", 204, "hello"},
	{"a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", 204, "hello"},
	{"a trailer with a length", "5\r\nhello\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 204,
		"hello"},
	{"an endless trailer", "5\r\nhello\r\n0\r\n" + strings.Repeat("X: y\r\n", 20000), 204, "hello"},
	{"a second request", "5\r\nhello\r\n0\r\n\r\n" + goodPost, 204, "hello"},
	{"a second request in a trailer", "5\r\nhello\r\n0\r\n" + goodPost, 204, "hello"},
	{"a second request after a bad chunk", "5\r\nhello\r\nx\r\n\r\n" + goodPost, 400, "hello"},
}

// shapes are all of them, each a whole request.
func shapes() []shape {
	all := requestShapes
	for _, c := range chunkShapes {
		c.name, c.text = "chunks: "+c.name, chunkedPost+c.text
		all = append(all, c)
	}
	return all
}

// answer sends a text on a connection of its own and nothing after it, and returns the status of the last response; 0
// if there was none.
func (d *door) answer(text string) (last int) {
	d.t.Helper()
	conn := d.dial(1)
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, text) // it may be cut before all is sent
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(r, nil)
		if isTimeout(err) {
			d.t.Errorf("the connection is left open after status %d", last)
		}
		if err != nil {
			return last
		}
		last = resp.StatusCode
		if last != 100 {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
}

func isTimeout(err error) bool {
	n, ok := err.(net.Error)
	return ok && n.Timeout()
}

// TestDoorRequestShapes: of each request, exactly the bytes come out that its body has by RFC 9112, and no second
// request is read.
func TestDoorRequestShapes(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--token-file", tokenFile(t), "--format", "raw")
	var want bytes.Buffer
	for _, s := range shapes() {
		if got := d.answer(s.text); got != s.status {
			t.Errorf("%s: status %d, want %d", s.name, got, s.status)
		}
		d.awaitNobody()
		want.WriteString(s.out)
		d.awaitOut(want.Len())
		if out := read(t, d.out); !bytes.Equal(out, want.Bytes()) {
			t.Fatalf("%s: out came %q", s.name, out[min(len(out), want.Len()-len(s.out)):])
		}
	}
	d.close(0)
	d.keepsSecret("sesame")
}

// TestDoorRequestShapesRefused: while somebody publishes, and without the token, nobody gets in by any shape.
func TestDoorRequestShapesRefused(t *testing.T) {
	t.Parallel()
	d := openDoor(t, "--token-file", tokenFile(t))
	good := d.publish()
	before := descriptors(t, d.process)
	var running sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, s := range shapes() {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			d.refuses(s)
		})
	}
	running.Wait()
	d.gives(before)
	good.end()
	d.keepsSecret("wr0ng")
}

// refuses tries to get in by a shape while somebody publishes: with the token, and with a wrong one.
func (d *door) refuses(s shape) {
	want, wrong := s.status, s.status
	switch {
	case s.status == 204 || strings.HasPrefix(s.text, chunkedPost) || s.out != "":
		want, wrong = 409, 401
	case s.status == 503:
		want, wrong = 200, 200
	}
	if got := d.answer(s.text); got != want {
		d.t.Errorf("%s: status %d, want %d", s.name, got, want)
	}
	// Whoever has no token learns no more than that, unless the header itself is refused.
	if got := d.answer(strings.ReplaceAll(s.text, "sesame", "wr0ng")); got != wrong && got != 401 {
		d.t.Errorf("%s, with a wrong token: status %d, want %d", s.name, got, wrong)
	}
}

func (d *door) keepsSecret(secret string) {
	d.t.Helper()
	if strings.Contains(d.stderr.String(), secret) {
		d.t.Errorf("%s is in the log", secret)
	}
}

// gives waits until the door has no more descriptors than before, and bounds its memory. The race detector takes many
// times what the tool does, so the bound finds only what grows without one.
func (d *door) gives(before int) {
	d.t.Helper()
	testwait.Eventually(d.t, "descriptors are given back", func() bool { return descriptors(d.t, d.process) <= before })
	if kib := rss(d.t, d.process); kib > 256<<10 {
		d.t.Errorf("%d KiB of memory", kib)
	}
}
