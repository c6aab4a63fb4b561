package wsconn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

func TestMessagesArriveInOrderAndWhole(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 125, 126, 4096, 4097, 65535, 65536, 256 << 10, 1<<20 + 7, 16 << 20, 3, 0}
	blob := make([]byte, 16<<20)
	rand.New(rand.NewSource(1)).Read(blob)
	got := make(chan []byte)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		defer close(got)
		for {
			isText, r, err := c.NextMessage(context.Background())
			if err != nil {
				return
			}
			b, err := io.ReadAll(r)
			if err != nil || isText {
				t.Errorf("message: text %v, %v", isText, err)
			}
			got <- b
		}
	})
	c := dial(t, url, DialOptions{})
	ctx := testContext(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, n := range sizes {
			if err := c.Write(ctx, blob[i:][:n-min(i, n)]); err != nil {
				t.Errorf("write %d: %v", n, err)
			}
		}
		if err := c.Close(ctx, 1000, "done"); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	for i, n := range sizes {
		if b := <-got; !bytes.Equal(b, blob[i:][:n-min(i, n)]) {
			t.Fatalf("message %d of %d bytes differs", i, n)
		}
	}
	if b, more := <-got; more {
		t.Fatalf("one message too many: %d bytes", len(b))
	}
	wg.Wait()
	if n := cap(c.out.out) + cap(c.out.spare); n > 2*keepBuffer {
		t.Errorf("%d bytes kept after a giant message", n)
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	url := serve(t, AcceptOptions{Subprotocols: []string{"a", "b"}}, func(c *Conn) {
		for {
			_, r, err := c.NextMessage(context.Background())
			if err != nil {
				return
			}
			b, _ := io.ReadAll(r)
			c.Write(context.Background(), b)
		}
	})
	ctx := testContext(t)
	c, err := Dial(ctx, url, DialOptions{Subprotocol: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for _, want := range []string{"hello", strings.Repeat("x", 70000)} {
		if err := c.Write(ctx, []byte(want)); err != nil {
			t.Fatal(err)
		}
		_, r, err := c.NextMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != want {
			t.Fatalf("got %d bytes, %v", len(b), err)
		}
	}
	if c.Subprotocol() != "b" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	// No read is running: Close itself must read.
	if err := c.Close(ctx, 1000, ""); err != nil {
		t.Error(err)
	}
}

// A message, and a message with a ping, is one write.
func TestOneWriteAMessage(t *testing.T) {
	t.Parallel()
	url := serve(t, AcceptOptions{}, drainMessages)
	var writes atomic.Int64
	c := dial(t, url, DialOptions{dial: countingDial(&writes)})
	ctx := testContext(t)
	for _, n := range []int{0, 1000, 100_000, 256 << 10} {
		before := writes.Load()
		if err := c.Write(ctx, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if d := writes.Load() - before; d != 1 {
			t.Errorf("message of %d bytes: %d writes", n, d)
		}
		before = writes.Load()
		pong, err := c.WritePing(ctx, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		<-pong.Done()
		if d := writes.Load() - before; d != 1 || pong.Err() != nil {
			t.Errorf("message of %d bytes with a ping: %d writes, %v", n, d, pong.Err())
		}
	}
}

func drainMessages(c *Conn) {
	for {
		if _, _, err := c.NextMessage(context.Background()); err != nil {
			return
		}
	}
}

// A 16 MiB message through a slow link, with pings both ways in its way. nhooyr alone ends such a connection after 5 s.
func TestSlowLinkOutlivesFixedTimeouts(t *testing.T) {
	t.Parallel()
	const size, rate = 16 << 20, 5 << 19 // bytes, bytes a second: 6.4 s
	result := make(chan int, 1)
	pongs := make(chan int, 1)
	url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) {
		conn.SetReadBuffer(64 << 10)
		io.WriteString(conn, "\x89\x01a")
		start, n := time.Now(), 0
		slow := readerFunc(func(p []byte) (int, error) {
			time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / rate)))
			m, err := r.Read(p[:min(len(p), 32<<10)])
			if before := n >> 20; (n+m)>>20 != before {
				io.WriteString(conn, "\x89\x01b") // once a MiB
			}
			n += m
			return m, err
		})
		br, pong := bufio.NewReaderSize(slow, 32<<10), 0
		for {
			op, payload, err := readFrame(br)
			switch {
			case err != nil:
				t.Errorf("after %d bytes: %v", n, err)
				return
			case op == OpPong:
				pong++
			case op == OpPing:
				conn.Write(append([]byte{0x80 | OpPong, byte(len(payload))}, payload...))
			case op == OpClose:
				pongs <- pong
				conn.Write(append([]byte{0x80 | OpClose, byte(len(payload))}, payload...))
				return
			default:
				result <- len(payload)
			}
		}
	})
	c := dial(t, url, DialOptions{})
	ctx := testContext(t)
	start := time.Now()
	written := make(chan error, 1)
	go func() { written <- c.Write(ctx, make([]byte, size)) }()
	awaitSending(c)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := c.Ping(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("ping behind the message: %v", err)
	}
	was, _ := c.Acked()
	if err := c.Ping(ctx); err != nil { // waits for the first one, too
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 5500*time.Millisecond {
		t.Fatalf("took %v: not slow enough to prove anything", took)
	}
	if n := <-result; n != size {
		t.Errorf("%d bytes arrived", n)
	}
	if is, ok := c.Acked(); ok && is <= was {
		t.Errorf("acknowledged: %d, then %d", was, is)
	}
	if err := c.Close(ctx, 1000, ""); err != nil {
		t.Fatal(err)
	}
	// The pongs of all the pings during the message fall together.
	if n := <-pongs; n == 0 || n > 3 {
		t.Errorf("%d pongs", n)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A peer that sends pings and never reads must not fill the memory.
func TestPingFloodCostsNoMemory(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe() // takes nothing unless far reads
	defer far.Close()
	b := newWriteBuffer(near, false)
	defer b.end()
	for range 1000 {
		b.answer(make([]byte, 100))
	}
	if n := b.buffered(); n > 2*maxControl {
		t.Errorf("%d bytes held", n)
	}
}

// A link that stalls within a control frame is slow, not dead. nhooyr alone ends such a connection after 5 s.
func TestStallWithinPing(t *testing.T) {
	t.Parallel()
	const stall = 5500 * time.Millisecond
	pongs := make(chan string, 1)
	url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) {
		io.WriteString(conn, "\x82\x01x\x89\x05he")
		time.Sleep(stall)
		io.WriteString(conn, "llo")
		op, payload, err := readFrame(r)
		if op != OpPong || err != nil {
			t.Errorf("opcode %d, %v", op, err)
		}
		pongs <- string(payload)
	})
	dial(t, url, DialOptions{})
	if p := <-pongs; p != "hello" {
		t.Errorf("pong %q", p)
	}
}

func TestPingOutstandingWhileServerStalls(t *testing.T) {
	t.Parallel()
	recover := make(chan struct{})
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		<-recover
		drainMessages(c)
	})
	c := dial(t, url, DialOptions{})
	ctx := testContext(t)
	pong, err := c.WritePing(ctx, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := c.WritePing(ctx, []byte("y")); second != nil || err != nil {
		t.Fatalf("second ping: %v, %v", second, err)
	}
	ended, cancel := context.WithCancelCause(ctx)
	cause := errors.New("enough")
	cancel(cause)
	if err := c.Ping(ended); !errors.Is(err, cause) {
		t.Fatalf("ping with an ended context: %v", err)
	}
	select {
	case <-pong.Done():
		t.Fatal("a pong from a server that stalls")
	case <-c.Done():
		t.Fatal(c.Err())
	default:
	}
	close(recover)
	<-pong.Done()
	if err := pong.Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
}

// A connection that ends within a message is no end of a message.
func TestTornMessageIsAnError(t *testing.T) {
	t.Parallel()
	for name, tear := range map[string]func(*net.TCPConn){
		"FIN": func(c *net.TCPConn) {},
		"RST": func(c *net.TCPConn) { c.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan struct{})
			url := rawServer(t, func(conn *net.TCPConn, _ *bufio.Reader) {
				io.WriteString(conn, "\x82\x0ahello") // 5 of 10 bytes
				<-got
				tear(conn)
			})
			c, err := Dial(testContext(t), url, DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			_, r, err := c.NextMessage(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			close(got)
			_, err = r.Read(make([]byte, 5))
			if err == nil || err == io.EOF {
				t.Fatalf("torn message: %v", err)
			}
			want := map[string]error{"FIN": io.ErrUnexpectedEOF, "RST": syscall.ECONNRESET}[name]
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			if c.Err() == nil {
				t.Error("no reason")
			}
		})
	}
}

func TestDiscardTakesAnyThing(t *testing.T) {
	t.Parallel()
	c, server := accepted(t, AcceptOptions{}, DialOptions{})
	c.Discard()
	ctx := testContext(t)
	for _, n := range []int{0, 10, 100_000, 4 << 20} {
		if err := server.Write(ctx, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	go drainMessages(server)
	if err := server.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(ctx, 1013, "come back later"); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	var ce *CloseError
	if !errors.As(c.Err(), &ce) || ce.Code != 1013 || ce.Reason != "come back later" {
		t.Fatalf("%v", c.Err())
	}
	if err := c.Write(ctx, nil); !errors.As(err, &ce) {
		t.Errorf("write to a closed connection: %v", err)
	}
	if err := c.Close(ctx, 1000, ""); !errors.As(err, &ce) {
		t.Errorf("close of a closed connection: %v", err)
	}
}

// The peer's reason is worth more than the broken pipe that it causes.
func TestWriteErrorIsThePeersReason(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) {
		readFrame(r)
		conn.Write(closeFrame(1008, "no", false))
	})
	c := dial(t, url, DialOptions{})
	ctx := testContext(t)
	var err error
	for err == nil {
		err = c.Write(ctx, make([]byte, 100_000))
	}
	var ce *CloseError
	if !errors.As(err, &ce) || ce.Code != 1008 {
		t.Fatal(err)
	}
}

func TestPeerResets(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) {
		readFrame(r)
		conn.SetLinger(0)
	})
	c := dial(t, url, DialOptions{})
	pong, err := c.WritePing(testContext(t), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	<-pong.Done()
	if !errors.Is(pong.Err(), syscall.ECONNRESET) || !errors.Is(c.Err(), syscall.ECONNRESET) {
		t.Fatalf("pong %v, connection %v", pong.Err(), c.Err())
	}
}

// A context that ends during a write ends the write, whatever the peer does.
func TestWriteEndsWithContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	url := rawServer(t, func(*net.TCPConn, *bufio.Reader) { <-release })
	c := dial(t, url, DialOptions{})
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	done := make(chan error, 1)
	go func() { done <- c.Write(ctx, make([]byte, 32<<20)) }()
	awaitSending(c)
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Fatal(err)
	}
	<-c.Done()
	if !errors.Is(c.Err(), cause) {
		t.Fatal(c.Err())
	}
}

// A context is watched from one Write to the next: its end between two of them must not hurt.
func TestContextOfEarlierWriteEnds(t *testing.T) {
	t.Parallel()
	url := serve(t, AcceptOptions{}, drainMessages)
	c := dial(t, url, DialOptions{})
	first, cancel := context.WithCancel(context.Background())
	if err := c.Write(first, []byte("a")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Write(first, []byte("b")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := c.Write(testContext(t), []byte("c")); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestMaxMessage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1000, 1001, 20 << 20} {
		c, server := accepted(t, AcceptOptions{MaxMessage: 1000}, DialOptions{})
		c.Discard()
		go c.Write(context.Background(), make([]byte, n))
		_, r, err := server.NextMessage(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if n == 1000 {
			if err != nil || len(b) != 1000 {
				t.Fatalf("%d bytes: %d, %v", n, len(b), err)
			}
			continue
		}
		if !errors.Is(err, ErrTooBig) || !strings.Contains(err.Error(), "1000 bytes") || len(b) != 1000 {
			t.Fatalf("%d bytes: %d, %v", n, len(b), err)
		}
		<-c.Done()
		var ce *CloseError
		if !errors.As(c.Err(), &ce) || ce.Code != 1009 {
			t.Errorf("%d bytes: the client got %v", n, c.Err())
		}
	}
}

// A peer that is still sending its oversized message must find the close frame, and no reset in its place.
func TestTooBigIsReportedBeforeTheEnd(t *testing.T) {
	t.Parallel()
	url := serve(t, AcceptOptions{MaxMessage: 10}, func(c *Conn) {
		if _, r, err := c.NextMessage(context.Background()); err == nil {
			io.Copy(io.Discard, r)
		}
	})
	conn := rawClient(t, url)
	defer conn.Close()
	message := binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<20)
	if _, err := conn.Write(append(message, make([]byte, 4+1<<20)...)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if op, payload, err := readFrame(r); op != OpClose || err != nil || binary.BigEndian.Uint16(payload) != 1009 {
		t.Fatalf("opcode %d, %q, %v", op, payload, err)
	}
	conn.(*net.TCPConn).CloseWrite()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("behind the close frame: %v", err)
	}
}

func TestNextMessageEndsWithContext(t *testing.T) {
	t.Parallel()
	_, server := accepted(t, AcceptOptions{}, DialOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := server.NextMessage(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	<-server.Done()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := startServer(t, AcceptOptions{}, drainMessages, (*httptest.Server).StartTLS)
	url := "wss" + s.URL[len("https"):]
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())

	var writes atomic.Int64
	ctx := testContext(t)
	c := dial(t, url, DialOptions{TLS: &tls.Config{RootCAs: roots}, dial: countingDial(&writes)})
	before := writes.Load()
	pong, err := c.WritePing(ctx, make([]byte, 256<<10))
	if err != nil {
		t.Fatal(err)
	}
	<-pong.Done()
	if n := writes.Load() - before; n > 17 || pong.Err() != nil {
		t.Errorf("%d writes, %v", n, pong.Err())
	}
	if n, ok := c.Acked(); ok && n < 256<<10 {
		t.Errorf("%d bytes acknowledged", n)
	}
	if err := c.Close(ctx, 1000, ""); err != nil {
		t.Error(err)
	}

	_, err = Dial(ctx, url, DialOptions{})
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &verify) || !errors.As(err, &unknown) {
		t.Fatalf("unknown authority: %v", err)
	}
	_, err = Dial(ctx, url, DialOptions{TLS: &tls.Config{RootCAs: roots, ServerName: "other.test"}})
	var host x509.HostnameError
	if !errors.As(err, &host) {
		t.Fatalf("wrong host: %v", err)
	}
}

func TestCloseFrame(t *testing.T) {
	t.Parallel()
	for _, masked := range []bool{true, false} {
		f := closeFrame(1001, strings.Repeat("ä", 100), masked)
		op, payload, err := readFrame(bufio.NewReader(bytes.NewReader(f)))
		if err != nil || op != OpClose || len(payload) > 125 || binary.BigEndian.Uint16(payload) != 1001 ||
			string(payload[2:]) != strings.Repeat("ä", 61) {
			t.Errorf("masked %v: %d, %q, %v", masked, op, payload, err)
		}
	}
}

// TestTornMessageIsNotNoise: what comes of a message before its connection breaks is what was sent, unmasked.
func TestTornMessageIsNotNoise(t *testing.T) {
	const sent, size = 1000, 5000
	got := make(chan []byte, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, AcceptOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		_, m, err := c.NextMessage(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		b, err := io.ReadAll(m)
		if err == nil {
			t.Error("a torn message counts as whole")
		}
		got <- b
	}))
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	handshake := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := io.WriteString(conn, handshake); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	frame := append([]byte{0x82, 0x80 | 126, size >> 8, size & 0xFF, 1, 2, 3, 4}, make([]byte, sent)...)
	for i := range sent { // zeros, masked
		frame[8+i] = byte(i%4 + 1)
	}
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if b := <-got; len(bytes.Trim(b, "\x00")) > 0 {
		t.Errorf("%d bytes of noise: % x…", len(b), b[:min(len(b), 8)])
	}
}
