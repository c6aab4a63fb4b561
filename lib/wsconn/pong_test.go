package wsconn

import (
	"bufio"
	"context"
	"io"
	"slices"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
)

// serverFrames returns the frames that a server sends to a client that has shaken hands.
func serverFrames(t *testing.T, conn io.Reader) func() (op byte, payload string) {
	r := bufio.NewReader(conn)
	return func() (byte, string) {
		t.Helper()
		op, payload, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		return op, string(payload)
	}
}

// With DelayPongs a ping is answered when what came before it has been delivered, and not before.
func TestDelayedPongs(t *testing.T) {
	t.Parallel()
	conns, read := make(chan *Conn), make(chan int)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		c.DelayPongs(func() {})
		conns <- c
		for {
			_, r, err := c.NextMessage(context.Background())
			if err != nil {
				close(read)
				return
			}
			n, _ := io.Copy(io.Discard, r)
			read <- int(n)
		}
	})
	conn := rawClient(t, url)
	defer conn.Close()
	next := serverFrames(t, conn)
	c := <-conns
	send := func(opcode byte, payload string) {
		t.Helper()
		if _, err := conn.Write(appendFrame(nil, opcode, []byte(payload), true)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(payload string) {
		t.Helper()
		if op, got := next(); op != OpPong || got != payload {
			t.Fatalf("opcode %d with %q, want a pong with %q", op, got, payload)
		}
	}

	send(OpPing, "before any byte")
	expect("before any byte")
	send(OpBinary, "12345")
	<-read
	send(OpPing, "after 5")
	send(OpBinary, "67890")
	<-read
	send(OpPing, "after 10")
	send(OpBinary, "x")
	<-read
	c.Delivered(4)
	awaitSent(c) // beside what is being sent, a sign of life is left out
	c.KeepAlive()
	expect("") // the sign of life, and no pong before it
	c.Delivered(5)
	expect("after 5")
	c.Delivered(10)
	expect("after 10")
	for range 3 * maxDelayed {
		send(OpPing, "one of many")
	}
	send(OpPing, "the last")
	send(OpBinary, "y")
	<-read
	c.Delivered(12)
	expect("the last")
	send(OpClose, "")
	<-read
}

// Only the matching pong answers a ping; every frame counts as a sign of life.
func TestPongsThatDoNotMatch(t *testing.T) {
	t.Parallel()
	c, server := accepted(t, AcceptOptions{}, DialOptions{})
	c.Discard()
	pong := c.TryPing()
	if pong == nil {
		t.Fatal("no ping")
	}
	server.KeepAlive()
	server.out.answer([]byte("1"))
	if err := server.Write(testContext(t), []byte("x")); err != nil {
		t.Fatal(err)
	}
	server.Discard() // reads, and answers, the ping
	testwait.Closed(t, "a pong, or the end of the connection", pong.Done())
	if err := pong.Err(); err != nil || c.Received() < 3 {
		t.Errorf("%v after %d frames", err, c.Received())
	}
}

func TestPongsWait(t *testing.T) {
	p := pongs{notify: func() {}}
	p.given(10)
	for i := range byte(2 * maxDelayed) {
		if p.add([]byte{i}) {
			t.Fatal("answered before anything was delivered")
		}
		p.given(1)
	}
	var answered []byte
	for n := range int64(10 + 2*maxDelayed) {
		answered = append(answered, p.due(n+1)...)
	}
	want := make([]byte, 0, maxDelayed)
	for i := range byte(maxDelayed - 1) {
		want = append(want, i)
	}
	if want = append(want, 2*maxDelayed-1); !slices.Equal(answered, want) {
		t.Errorf("answered %d, want %d", answered, want)
	}
	if !p.add(nil) {
		t.Error("not answered though everything was delivered")
	}
}
