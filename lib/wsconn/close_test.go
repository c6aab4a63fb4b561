package wsconn

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// soon is what a close may take that has nothing to wait for, on a busy machine: less than nhooyr's 5 s.
const soon = 4 * time.Second

func TestCloseWithDiscard(t *testing.T) {
	t.Parallel()
	reasons := make(chan error, 1)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		drainMessages(c)
		reasons <- c.Err()
	})
	c := dial(t, url, DialOptions{})
	start := time.Now()
	if err := c.Close(testContext(t), 1001, "going"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > soon {
		t.Errorf("took %v", d)
	}
	var ce *CloseError
	if err := <-reasons; !errors.As(err, &ce) || ce.Code != 1001 || ce.Reason != "going" {
		t.Errorf("the server got %v", err)
	}
	if err := c.Close(testContext(t), 1001, "going"); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// TestCloseAfterMuchData: everything written before Close arrives, and the handshake comes after it, however long it
// takes.
func TestCloseAfterMuchData(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	got := make(chan int64, 1)
	start := make(chan struct{})
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		<-start
		_, r, err := c.NextMessage(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		n, _ := io.Copy(io.Discard, r)
		got <- n
		drainMessages(c)
	})
	c := dial(t, url, DialOptions{})
	ctx := testContext(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Write(ctx, make([]byte, size)); err != nil {
			t.Error(err)
		}
	})
	awaitSending(c)
	for range 3 {
		wg.Go(func() {
			if err := c.Close(ctx, 1000, ""); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	if n := <-got; n != size {
		t.Errorf("%d bytes", n)
	}
	wg.Wait()
}

func TestCloseWhenPeerOnlyHangsUp(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) { readFrame(r) })
	c := dial(t, url, DialOptions{})
	start := time.Now()
	err := c.Close(testContext(t), 1000, "")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > soon {
		t.Errorf("took %v", d)
	}
}

func TestCloseWhenPeerNeverAnswers(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*Conn){
		"discarding":  func(c *Conn) { c.Discard() },
		"not reading": func(c *Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
			c, err := Dial(testContext(t), url, DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			prepare(c)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			if err := c.Close(ctx, 1000, ""); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			if d := time.Since(start); d < 100*time.Millisecond || d > soon {
				t.Errorf("took %v", d)
			}
		})
	}
}

// TestCloseAfterBlockedWrite: Close ends with its context, also when a write is in the way.
func TestCloseAfterBlockedWrite(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	url := rawServer(t, func(*net.TCPConn, *bufio.Reader) { <-release })
	c := dial(t, url, DialOptions{})
	written := make(chan error, 1)
	go func() { written <- c.Write(context.Background(), make([]byte, 32<<20)) }()
	awaitSending(c)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := c.Close(ctx, 1000, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := <-written; err == nil {
		t.Error("a write that cannot have been done")
	}
}

// TestPeersCloseIsAnswered: either side may close first: the peer gets one close frame, and nothing after it.
func TestPeersCloseIsAnswered(t *testing.T) {
	t.Parallel()
	type frame struct {
		op      byte
		payload string
	}
	for name, ours := range map[string]bool{"peer closes": false, "both close": true} {
		t.Run(name, func(t *testing.T) {
			frames := make(chan []frame, 1)
			url := rawServer(t, func(conn *net.TCPConn, r *bufio.Reader) {
				conn.Write(closeFrame(1001, "bye", false))
				var got []frame
				for {
					op, payload, err := readFrame(r)
					if err != nil {
						frames <- got
						return
					}
					got = append(got, frame{op, string(payload)})
				}
			})
			c, err := Dial(testContext(t), url, DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			want := frame{OpClose, "\x03\xe9bye"}
			var ce *CloseError
			if ours {
				want = frame{OpClose, "\x03\xe8"}
				if err := c.Close(testContext(t), 1000, ""); !errors.As(err, &ce) || ce.Code != 1001 {
					t.Errorf("%v", err)
				}
			} else {
				c.Discard()
			}
			<-c.Done()
			if got := <-frames; len(got) != 1 || got[0] != want {
				t.Errorf("the peer got %q", got)
			}
		})
	}
}

// TestReasonWithASecret: a server's reason goes into the log, and may repeat the token and have a terminal's commands
// in it.
func TestReasonWithASecret(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(conn *net.TCPConn, _ *bufio.Reader) {
		conn.Write(closeFrame(1008, "expired:\n\x1b[31mBearer s3cr3t-token", false))
	})
	c := dial(t, url, DialOptions{Header: http.Header{"Authorization": {"Bearer s3cr3t-token"}}})
	c.Discard()
	testwait.Closed(t, "the connection has ended", c.Done())
	var ce *CloseError
	if !errors.As(c.Err(), &ce) || ce.Code != 1008 || ce.Reason != "expired: [31m…" {
		t.Errorf("%q", c.Err())
	}
}

// TestSendClose: what the peer sends before its answer is received, also the rest of a message.
func TestSendClose(t *testing.T) {
	t.Parallel()
	type result struct {
		sizes []int64
		err   error
	}
	begun, ended := make(chan *Conn, 1), make(chan result, 1)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		var got result
		for {
			_, r, err := c.NextMessage(context.Background())
			if err != nil {
				got.err = err
				ended <- got
				return
			}
			n, err := io.ReadFull(r, make([]byte, 10))
			select {
			case begun <- c:
			default:
			}
			rest, _ := io.Copy(io.Discard, r)
			if err == nil {
				got.sizes = append(got.sizes, int64(n)+rest)
			}
		}
	})
	conn := rawClient(t, url)
	defer conn.Close()
	first, second := appendMessage(nil, make([]byte, 100_000), true), appendMessage(nil, make([]byte, 1000), true)
	conn.Write(first[:50_000])
	c := <-begun
	c.SendClose(1001, "going")
	op, payload, err := readFrame(bufio.NewReader(conn))
	if err != nil || op != OpClose || string(payload) != "\x03\xe9going" {
		t.Fatalf("the peer got %d %q, %v", op, payload, err)
	}
	conn.Write(first[50_000:])
	conn.Write(second)
	conn.Write(closeFrame(1000, "", true))
	var answer *CloseError
	got := <-ended
	if !slices.Equal(got.sizes, []int64{100_000, 1000}) || !errors.As(got.err, &answer) || answer.Code != 1000 {
		t.Errorf("messages of %d bytes, then %v", got.sizes, got.err)
	}
}

func TestCloseNow(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	url := rawServer(t, func(*net.TCPConn, *bufio.Reader) { <-release })
	c := dial(t, url, DialOptions{})
	pong, err := c.WritePing(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(c.CloseNow)
	}
	wg.Wait()
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if !errors.Is(c.Err(), net.ErrClosed) || !errors.Is(pong.Err(), net.ErrClosed) {
		t.Errorf("%v, %v", c.Err(), pong.Err())
	}
	if err := c.Write(testContext(t), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := c.Ping(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ping: %v", err)
	}
	c.Discard()
}

// TestCloseNowOfStuckTLS: CloseNow does not try to send the close_notify of TLS on a connection that is stuck.
func TestCloseNowOfStuckTLS(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := startServer(t, AcceptOptions{}, func(*Conn) { <-release }, (*httptest.Server).StartTLS)
	defer close(release)
	c := dial(t, "wss"+s.URL[len("https"):], DialOptions{TLS: &tls.Config{InsecureSkipVerify: true}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Write(ctx, make([]byte, 32<<20)) }()
	awaitSending(c)
	var acked uint64
	still := 0 // looks at which no more was acknowledged
	testwait.Eventually(t, "the connection is stuck", func() bool {
		if n, _ := c.Acked(); n != acked {
			acked, still = n, 0
		}
		still++
		return still > 10
	})
	cancel()
	<-done
	begun := time.Now()
	c.CloseNow()
	if took := time.Since(begun); took > soon {
		t.Errorf("it took %v", took)
	}
}

func TestCloseCodeThatCannotBeSent(t *testing.T) {
	t.Parallel()
	url := serve(t, AcceptOptions{}, drainMessages)
	c := dial(t, url, DialOptions{})
	if err := c.Close(testContext(t), 1006, ""); err == nil {
		t.Error("1006 was sent")
	}
	testwait.Closed(t, "the connection has ended", c.Done())
}

// closeFrame returns a close frame, masked when a client sends it.
func closeFrame(code int, reason string, masked bool) []byte {
	return appendFrame(nil, OpClose, closePayload(code, reason), masked)
}
