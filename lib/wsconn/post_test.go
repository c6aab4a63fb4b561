package wsconn

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
)

// TestPostsAndWritesArriveInOrder: what the network does not take at once comes before what follows.
func TestPostsAndWritesArriveInOrder(t *testing.T) {
	t.Parallel()
	begin, got := make(chan struct{}), make(chan []byte)
	url := serve(t, AcceptOptions{}, func(c *Conn) {
		defer close(got)
		<-begin
		for {
			_, r, err := c.NextMessage(context.Background())
			if err != nil {
				return
			}
			b, _ := io.ReadAll(r)
			got <- b
		}
	})
	c := dial(t, url, DialOptions{})
	if !c.CanPost() {
		if runtime.GOOS == "linux" {
			t.Fatal("a new connection cannot post")
		}
		t.Skip("SKIPPED: it is Linux that can")
	}
	ctx := testContext(t)
	var sent [][]byte
	posted := 0
	for ; c.CanPost() && posted < 1000; posted++ { // until the network takes no more
		sent = append(sent, bytes.Repeat([]byte{byte(posted)}, 100_000))
		c.Post(sent[posted])
	}
	if posted == 1000 {
		t.Fatal("the network took everything")
	}
	close(begin)
	go func() {
		for i := range 3 {
			last := bytes.Repeat([]byte{byte(i)}, 10)
			if err := c.Write(ctx, last); err != nil {
				t.Errorf("write: %v", err)
			}
		}
		_ = c.Close(ctx, StatusNormalClosure, "")
	}()
	for i := range 3 {
		sent = append(sent, bytes.Repeat([]byte{byte(i)}, 10))
	}
	n := 0
	for b := range got {
		if n == len(sent) || !bytes.Equal(b, sent[n]) {
			t.Fatalf("message %d of %d is not what was sent: %d bytes", n, len(sent), len(b))
		}
		n++
	}
	if n != len(sent) {
		t.Fatalf("%d of %d messages came", n, len(sent))
	}
}

// TestPostOnALostConnection: nothing is kept, and Write says what happened.
func TestPostOnALostConnection(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: it is Linux that can")
	}
	lose := make(chan struct{})
	url := rawServer(t, func(conn *net.TCPConn, _ *bufio.Reader) {
		<-lose
		_ = conn.SetLinger(0)
	})
	c, err := Dial(testContext(t), url, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	close(lose)
	if !testwait.Poll(func() bool { c.Post(make([]byte, 1000)); return !c.CanPost() && c.Buffered() == 0 }) {
		t.Fatal("posting goes on")
	}
	c.Post(make([]byte, 1000))
	if n := c.Buffered(); n != 0 || c.CanPost() {
		t.Errorf("%d bytes are kept", n)
	}
	if err := c.Write(testContext(t), nil); err == nil {
		t.Error("Write does not say that the connection is lost")
	}
}
