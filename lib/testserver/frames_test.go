package testserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// frame is a client's frame, masked.
func frame(op ws.OpCode, fin bool, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, fin, payload), [4]byte{1, 2, 3, 4}))
}

func closeWith(code int, reason string) []byte {
	return frame(ws.OpClose, true, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// frameResult is what a client's frames lead to.
type frameResult struct {
	code     int // in the report, and in the one close frame that the server sends, unless that one has none
	messages int64
	bytes    int64
	pongs    string // payloads
}

type frameCase struct {
	send []byte
	want frameResult
}

func frameCases() map[string]frameCase {
	long := bytes.Repeat([]byte("x"), 70_000)
	bye := closeWith(1000, "")
	cases := map[string]frameCase{
		"length in 7 bits": {join(frame(ws.OpBinary, true, long[:125]), bye), frameResult{1000, 1, 125, ""}},
		"length in 16 bits": {join(frame(ws.OpBinary, true, long[:126]), frame(ws.OpBinary, true, long[:65535]), bye),
			frameResult{1000, 2, 65661, ""}},
		"length in 64 bits": {join(frame(ws.OpBinary, true, long[:65536]), bye), frameResult{1000, 1, 65536, ""}},
		"empty message":     {join(frame(ws.OpBinary, true, nil), bye), frameResult{1000, 1, 0, ""}},
		"fragments": {join(frame(ws.OpBinary, false, long[:5]), frame(0, false, nil),
			frame(0, false, long[:7]), frame(0, true, nil), bye), frameResult{1000, 1, 12, ""}},
		"control in between": {join(frame(ws.OpBinary, false, long[:5]), frame(ws.OpPing, true, []byte("a")),
			frame(0, true, long[:7]), frame(ws.OpPing, true, nil), bye), frameResult{1000, 1, 12, "a,,"}},
		"longest ping": {join(frame(ws.OpPing, true, long[:125]), bye),
			frameResult{1000, 0, 0, string(long[:125]) + ","}},
		"unsolicited pong": {join(frame(ws.OpPong, true, []byte("a")), frame(ws.OpBinary, true, long[:1]), bye),
			frameResult{1000, 1, 1, ""}},
		"ping too long":   {frame(ws.OpPing, true, long[:126]), frameResult{1002, 0, 0, ""}},
		"fragmented ping": {frame(ws.OpPing, false, nil), frameResult{1002, 0, 0, ""}},
		"message in a message": {join(frame(ws.OpBinary, false, long[:5]), frame(ws.OpBinary, true, long[:7])),
			frameResult{1002, 0, 5, ""}},
		"close without a code":  {frame(ws.OpClose, true, nil), frameResult{1005, 0, 0, ""}},
		"close of one byte":     {frame(ws.OpClose, true, []byte{3}), frameResult{1002, 0, 0, ""}},
		"close, longest reason": {closeWith(1000, strings.Repeat("é", 61)+"x"), frameResult{1000, 0, 0, ""}},
		"close, reason no UTF8": {closeWith(1000, "\xc3("), frameResult{1007, 0, 0, ""}},
		"close too long":        {closeWith(1000, strings.Repeat("x", 124)), frameResult{1002, 0, 0, ""}},
		"fragmented close":      {frame(ws.OpClose, false, nil), frameResult{1002, 0, 0, ""}},
		"close in a message":    {join(frame(ws.OpBinary, false, long[:5]), bye), frameResult{1000, 0, 5, ""}},
		"text":                  {frame(ws.OpText, true, []byte("é")), frameResult{1003, 0, 0, ""}},
		"text that is no UTF8":  {frame(ws.OpText, true, []byte("\xc3(")), frameResult{1003, 0, 0, ""}},
		"text in fragments": {join(frame(ws.OpText, false, []byte("\xc3")), frame(0, true, []byte("\xa9"))),
			frameResult{1003, 0, 0, ""}},
		"empty text":         {frame(ws.OpText, true, nil), frameResult{1003, 0, 0, ""}},
		"stray continuation": {frame(0, true, nil), frameResult{1002, 0, 0, ""}},
		"reserved bit 1":     {[]byte{0xC2, 0x80, 0, 0, 0, 0}, frameResult{1002, 0, 0, ""}},
		"reserved bit 2":     {[]byte{0xA2, 0x80, 0, 0, 0, 0}, frameResult{1002, 0, 0, ""}},
		"reserved bit 3":     {[]byte{0x92, 0x80, 0, 0, 0, 0}, frameResult{1002, 0, 0, ""}},
		"length of 2^63":     {[]byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, frameResult{1002, 0, 0, ""}},
	}
	for op := range byte(16) {
		if op >= 3 && op <= 7 || op >= 11 {
			cases[fmt.Sprintf("opcode %d", op)] = frameCase{[]byte{0x80 | op, 0x80, 0, 0, 0, 0},
				frameResult{1002, 0, 0, ""}}
		}
	}
	for code, want := range map[int]int{
		0: 1002, 999: 1002, 1000: 1000, 1001: 1001, 1002: 1002, 1003: 1003, 1004: 1002, 1005: 1002, 1006: 1002,
		1007: 1007,
		1011: 1011, 1012: 1012, 1013: 1013, 1014: 1014, 1015: 1002, 1016: 1002, 2999: 1002, 3000: 3000, 4999: 4999,
		5000: 1002, 65535: 1002,
	} {
		cases[fmt.Sprintf("close code %d", code)] = frameCase{closeWith(code, "é"), frameResult{want, 0, 0, ""}}
	}
	return cases
}

// TestFrames: the frames of RFC 6455, section 5, as a connection without faults reads them, and one with a planned
// fault.
func TestFrames(t *testing.T) {
	for name, c := range frameCases() {
		for planned, faults := range [][]Fault{nil, {{Do: Reset{}, AfterTime: time.Hour}}} {
			t.Run(fmt.Sprintf("%s, %d faults", name, planned), func(t *testing.T) {
				s := start(t, Options{Conns: 1, Faults: faults})
				conn := raw(t, s.URL())
				for b := range bytes.SplitAfterSeq(c.send, nil) { // byte by byte: headers are torn too
					if len(c.send) > 1000 {
						b = c.send
					}
					conn.Write(b)
					if len(c.send) > 1000 {
						break
					}
				}
				pongs, closes := answers(conn)
				got := frameResult{pongs: pongs}
				conn.CloseWrite()
				r := one(t, s)
				want := []int{c.want.code}
				if want[0] == 1005 {
					want[0] = 0
				}
				if !slices.Equal(closes, want) {
					t.Errorf("close frames with %d, want %d", closes, want)
				}
				got.code, got.messages, got.bytes = r.Close.Code, r.Messages, r.Bytes
				if got.pongs != "" && strings.HasSuffix(c.want.pongs, got.pongs) {
					got.pongs = c.want.pongs // only the latest of several pings needs an answer (RFC 6455, 5.5.3)
				}
				if got != c.want {
					t.Errorf("got %+v (%q), want %+v", got, r.Close.Reason, c.want)
				}
			})
		}
	}
}

// answers reads until the server ends, and returns the payloads of the pongs and the codes of the close frames, 0 for
// none. After a close frame the client closes its half, so that the server does not wait for an answer.
func answers(conn *net.TCPConn) (pongs string, closes []int) {
	conn.SetReadDeadline(time.Now().Add(deadline))
	for {
		f, err := ws.ReadFrame(conn)
		if err != nil {
			return pongs, closes
		}
		switch f.Header.OpCode {
		case ws.OpPong:
			pongs += string(f.Payload) + ","
		case ws.OpClose:
			code := 0
			if len(f.Payload) >= 2 {
				code = int(binary.BigEndian.Uint16(f.Payload))
			}
			closes = append(closes, code)
			conn.CloseWrite()
		}
	}
}

// TestSlowHandshake: a request that comes byte by byte is answered; one that never ends does not keep others waiting.
func TestSlowHandshake(t *testing.T) {
	s := start(t, Options{Conns: 1})
	var hanging []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", s.URL()[len("ws://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: ")
		hanging = append(hanging, c)
	}
	publish(t, s.URL(), []byte("x"))
	for _, c := range hanging {
		io.WriteString(c, "y")
	}
	one(t, s)
}

// FuzzFrames: whatever a client sends, the connection ends, and no more bytes are counted than came.
func FuzzFrames(f *testing.F) {
	f.Add(join(frame(ws.OpBinary, false, []byte("abc")), frame(ws.OpPing, true, nil), frame(0, true, []byte("de"))),
		true)
	f.Add(closeWith(1000, "bye"), false)
	f.Add(frame(ws.OpText, true, []byte("text")), true)
	f.Fuzz(func(t *testing.T, send []byte, planned bool) {
		o := Options{Conns: 1, MaxMessage: 1000}
		if planned {
			o.Faults = []Fault{{Do: Reset{}, AfterTime: time.Hour}}
		}
		s := start(t, o)
		conn := raw(t, s.URL())
		conn.Write(send)
		conn.CloseWrite()
		if c := one(t, s); c.Bytes > int64(len(send)) || c.Close.Code < 1000 {
			t.Errorf("%+v", c)
		}
	})
}
