package testserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timdrysdale/vw/lib/wsconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline ends a test that has failed.
const deadline = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// wait waits for the server's end, which must be err.
func wait(t testing.TB, s *Server, want error) Report {
	t.Helper()
	r, err := s.Wait(testContext(t))
	if err != want {
		t.Fatalf("Wait: %v, want %v", err, want)
	}
	return r
}

// one waits for the end of a server with one connection, and returns the connection.
func one(t testing.TB, s *Server) Connection {
	t.Helper()
	r := wait(t, s, nil)
	if len(r.Connections) != 1 {
		t.Fatalf("%d connections: %+v", len(r.Connections), r.Connections)
	}
	return r.Connections[0]
}

func dial(t testing.TB, url string, o wsconn.DialOptions) *wsconn.Conn {
	t.Helper()
	c, err := wsconn.Dial(testContext(t), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseNow)
	c.Discard()
	return c
}

// publish sends messages and closes with 1000.
func publish(t testing.TB, url string, messages ...[]byte) {
	t.Helper()
	c := dial(t, url, wsconn.DialOptions{})
	for _, m := range messages {
		if err := c.Write(testContext(t), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(testContext(t), 1000, "done"); err != nil {
		t.Fatal(err)
	}
}

// raw returns a TCP connection after the websocket handshake.
func raw(t testing.TB, url string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", url[len("ws://"):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	io.WriteString(conn, "GET /raw HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("handshake: %v, %v", resp, err)
	}
	return conn.(*net.TCPConn)
}

// frameHeader is the header of a masked binary message of n bytes. Its key is zero, so that the payload follows
// unchanged.
func frameHeader(n int) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, uint64(n)), 0, 0, 0, 0)
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../test/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
