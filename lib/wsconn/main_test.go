package wsconn

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timdrysdale/vw/internal/testwait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is how long a test waits for what must happen; it is reached only when the test fails.
const deadline = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// serve runs handle for each connection that is accepted, and returns the ws URL.
func serve(t testing.TB, o AcceptOptions, handle func(*Conn)) string {
	return "ws" + serveHTTP(t, o, handle).URL[len("http"):]
}

func serveHTTP(t testing.TB, o AcceptOptions, handle func(*Conn)) *httptest.Server {
	return startServer(t, o, handle, (*httptest.Server).Start)
}

func startServer(t testing.TB, o AcceptOptions, handle func(*Conn), start func(*httptest.Server)) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer c.CloseNow()
		handle(c)
	}))
	s.Config.ErrorLog = quiet
	start(s)
	t.Cleanup(s.Close)
	return s
}

// dial connects, and discards what the server sends.
func dial(t testing.TB, url string, o DialOptions) *Conn {
	t.Helper()
	c, err := Dial(testContext(t), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseNow)
	c.Discard()
	return c
}

// accepted returns a client and the server's end of its connection, which has not been read from yet.
func accepted(t testing.TB, ao AcceptOptions, do DialOptions) (client, server *Conn) {
	t.Helper()
	conns, release := make(chan *Conn, 1), make(chan struct{})
	url := serve(t, ao, func(c *Conn) {
		conns <- c
		<-release
	})
	client, err := Dial(testContext(t), url, do)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseNow()
		close(release)
	})
	return client, <-conns
}

// rawServer runs handle for each TCP connection whose handshake it has answered.
func rawServer(t *testing.T, handle func(*net.TCPConn, *bufio.Reader)) (url string) {
	return rawTCP(t, func(conn *net.TCPConn) {
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Errorf("read handshake: %v", err)
			return
		}
		io.WriteString(conn, SwitchingProtocols(req.Header.Get("Sec-WebSocket-Key"), ""))
		handle(conn, r)
	})
}

// rawTCP runs handle for each connection, and closes it when the test is over.
func rawTCP(t *testing.T, handle func(*net.TCPConn)) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn.(*net.TCPConn))
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "ws://" + l.Addr().String()
}

// readFrame reads one frame of a peer and unmasks it.
func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	h, err := ReadHeader(r)
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, h.Length)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= h.Key[i%4]
	}
	return h.Opcode, payload, err
}

// countingDial counts the writes to the TCP connection.
func countingDial(writes *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countingConn{TCPConn: conn.(*net.TCPConn), writes: writes}, nil
	}
}

type countingConn struct {
	*net.TCPConn
	writes *atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(p)
}

// rawClient returns a TCP connection on which the websocket handshake has been done.
func rawClient(t testing.TB, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", url[len("ws://"):])
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(deadline))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("handshake: %v, %v", resp, err)
	}
	return conn
}

// awaitSending returns when a message is being written to the socket.
func awaitSending(c *Conn) {
	testwait.Poll(func() bool { return c.out.unsent.Load() > 0 })
}

// awaitSent returns when nothing is being written to the socket.
func awaitSent(c *Conn) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for c.out.flushing {
		c.out.idle.Wait()
	}
}
