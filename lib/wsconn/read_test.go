package wsconn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestTornMessageIsAnError: a connection that ends within a message is no end of a message.
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

// TestTornMessageIsNotNoise: what comes of a message before its connection breaks is what was sent, unmasked.
func TestTornMessageIsNotNoise(t *testing.T) {
	t.Parallel()
	const sent, size = 1000, 5000
	got := make(chan []byte, 1)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
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
	})
	conn := rawClient(t, url)
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

func TestDiscardTakesAnything(t *testing.T) {
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
	testwait.Closed(t, "the connection has ended", c.Done())
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

// TestTooBigIsReportedBeforeTheEnd: a peer that is still sending its oversized message must find the close frame, and
// no reset in its place.
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
		t.Errorf("after the close frame: %v", err)
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
	testwait.Closed(t, "the server's end has ended", server.Done())
}

// TestStallWithinPing: a link that stalls within a control frame is slow, not dead. nhooyr alone ends such a connection
// after 5 s.
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
