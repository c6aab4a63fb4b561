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
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
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

// TestOneWriteAMessage: a message, and a message with a ping, is one write.
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

// TestSlowLinkOutlivesFixedTimeouts: a 16 MiB message goes through a slow link, with pings both ways in its way. nhooyr
// alone ends such a connection after 5 s.
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
		t.Fatalf("ping after the message: %v", err)
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

// TestPingFloodCostsNoMemory: a peer that sends pings and never reads must not fill the memory.
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
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if err := pong.Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestWriteErrorIsThePeersReason: the peer's reason is worth more than the broken pipe that it causes.
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
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if !errors.Is(pong.Err(), syscall.ECONNRESET) || !errors.Is(c.Err(), syscall.ECONNRESET) {
		t.Fatalf("pong %v, connection %v", pong.Err(), c.Err())
	}
}

// TestWriteEndsWithContext: a context that ends during a write ends the write, whatever the peer does.
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
	testwait.Closed(t, "the connection has ended", c.Done())
	if !errors.Is(c.Err(), cause) {
		t.Fatal(c.Err())
	}
}

// TestContextOfEarlierWriteEnds: a context is watched from one Write to the next. Its end between two of them must not
// hurt.
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
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
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
