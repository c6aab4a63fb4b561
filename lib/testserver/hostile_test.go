package testserver

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// closeCode reads frames until the peer's close frame and returns its code, 1006 if there is none.
func closeCode(t *testing.T, conn net.Conn) int {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(deadline))
	r := bufio.NewReader(conn)
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 1006
		}
		payload := make([]byte, head[1]&0x7F) // control frames only
		if _, err := io.ReadFull(r, payload); err != nil {
			return 1006
		}
		if head[0]&0x0F == 8 && len(payload) >= 2 {
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}

// hostile is what a peer does and what comes of it.
type hostile struct {
	send     []byte
	sent     int // the close code the peer gets, 1006 for none; 0: not checked
	reported int
	bytes    int64
	text     int64
	reason   string
}

// TestHostile: what a peer does wrong is answered and reported. Each sends a correct message of 3 bytes first.
func TestHostile(t *testing.T) {
	cases := map[string]hostile{
		"text":               {[]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'}, 1003, 1003, 3, 1, "only binary"},
		"too big":            {append(frameHeader(70_000), make([]byte, 70_000)...), 1009, 1009, 3 + 65536, 0, "65536"},
		"reserved bits":      {[]byte{0xF2, 0x80, 0, 0, 0, 0}, 1002, 1002, 3, 0, "reserved bit"},
		"unknown opcode":     {[]byte{0x83, 0x80, 0, 0, 0, 0}, 1002, 1002, 3, 0, "opcode"},
		"unmasked":           {[]byte{0x82, 0x01, 'x'}, 0, 1002, 3, 0, "unmasked"},
		"stray continuation": {[]byte{0x80, 0x80, 0, 0, 0, 0}, 1002, 1002, 3, 0, "continuation"},
		"close without code": {[]byte{0x88, 0x80, 0, 0, 0, 0}, 0, 1005, 3, 0, ""},
		"close with code":    {[]byte{0x88, 0x84, 0, 0, 0, 0, 0x0F, 0xA0, 'h', 'i'}, 4000, 4000, 3, 0, "hi"},
		"torn header":        {[]byte{0x82}, 0, 1006, 3, 0, ""},
		"nothing more":       {nil, 0, 1006, 3, 0, ""},
		"torn message":       {append(frameHeader(60_000), make([]byte, 10)...), 0, 1006, 13, 0, ""},
	}
	// A connection for which a fault is planned is read by other code, which has to answer alike.
	for name, c := range cases {
		for _, faults := range [][]Fault{nil, {{Do: Reset{}, AfterTime: time.Hour}}} {
			testHostile(t, fmt.Sprintf("%s, %d faults", name, len(faults)), c, faults)
		}
	}
}

func testHostile(t *testing.T, name string, c hostile, faults []Fault) {
	t.Run(name, func(t *testing.T) {
		s := start(t, Options{Conns: 1, MaxMessage: 65536, Faults: faults})
		conn := raw(t, s.URL())
		conn.Write(append(append(frameHeader(3), "abc"...), c.send...))
		if c.sent != 0 {
			if got := closeCode(t, conn); got != c.sent {
				t.Errorf("the peer got close code %d, want %d", got, c.sent)
			}
		}
		conn.CloseWrite()
		got := one(t, s)
		if got.Close.Code != c.reported || !strings.Contains(got.Close.Reason, c.reason) || got.Bytes != c.bytes ||
			got.Messages != 1 || got.Text != c.text {
			t.Errorf("reported %+v, want %+v", got, c)
		}
	})
}

// TestReset: what was read before a reset counts.
func TestReset(t *testing.T) {
	s := start(t, Options{Conns: 1, Bytes: 1 << 40})
	conn := raw(t, s.URL())
	const whole = 2 * blockSize
	conn.Write(append(frameHeader(1<<20), make([]byte, whole)...))
	testwait.Eventually(t, "half of the bytes", func() bool { return s.bytes.Load() >= whole/2 })
	conn.SetLinger(0)
	conn.Close()
	c := one(t, s)
	if c.Close.Code != 1006 || c.Messages != 0 || c.Bytes < whole/2 || c.Bytes > whole {
		t.Errorf("connection %+v", c)
	}
	if c.SHA256 != sum(make([]byte, c.Bytes)) {
		t.Error("the hash is not that of the bytes")
	}
}

// TestHalfHandshake: an incomplete handshake is not a connection, and does not keep the server from ending.
func TestHalfHandshake(t *testing.T) {
	s := start(t, Options{Conns: 1})
	conn, err := net.Dial("tcp", s.URL()[len("ws://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgr")
	publish(t, s.URL(), []byte("x"))
	one(t, s)
}

// TestWrongHandshake: a handshake that violates RFC 6455, 4.2.1, is refused, whether a fault is planned or not.
func TestWrongHandshake(t *testing.T) {
	const right = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	for _, faults := range [][]Fault{nil, {{Do: NoPong{}}}} {
		s := start(t, Options{Faults: faults})
		for old, changed := range map[string]string{
			"":                         "", // right
			"GET":                      "POST",
			"Upgrade: websocket":       "Upgrade: h2c",
			"keep-alive, Upgrade":      "keep-alive",
			"13":                       "8",
			"AAAAAAAAAAAAAAAAAAAAAA==": "AAAA",
			"Sec-WebSocket-Key":        "X-Key",
		} {
			conn, err := net.Dial("tcp", s.URL()[len("ws://"):])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, strings.Replace(right, old, changed, 1))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || (resp.StatusCode == 101) != (old == "") || resp.StatusCode >= 500 {
				t.Errorf("%q instead of %q, %d faults: %v, %v", changed, old, len(faults), resp, err)
			}
		}
	}
}
