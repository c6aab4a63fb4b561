package viewer

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// TestTenThousandComeAndGo: joining and leaving neither leaks nor disturbs who stays, and each is in the ledger.
func TestTenThousandComeAndGo(t *testing.T) {
	t.Parallel()
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	s := startServer(t, Options{})
	s.frame()
	var before []byte
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := wsconn.Dial(ctx, "ws://"+s.addr+"/", wsconn.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	got := make(chan []byte)
	go func() {
		for {
			_, r, err := conn.NextMessage(ctx)
			if err != nil {
				got <- before
				return
			}
			b, _ := io.ReadAll(r)
			before = append(before, b...)
		}
	}()
	testwait.Eventually(t, "the first viewer has joined", func() bool { return s.Viewers() == 1 })
	work := make(chan int)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := range work {
				come(t, s.addr, i)
			}
		})
	}
	for i := range n {
		work <- i
		if i%10 == 0 {
			s.frame()
		}
	}
	close(work)
	running.Wait()
	testwait.Eventually(t, "all others have left", func() bool { return s.Viewers() == 1 })
	if c := s.hub.counts(); c.Connects != int64(n)+1 || !c.Balances() {
		t.Errorf("the ledger: %+v", c)
	}
	sent := s.source.in
	s.stop()
	if b := <-got; int64(len(b)) != sent {
		t.Errorf("who stayed got %d bytes of %d", len(b), sent)
	}
}

// come connects as a viewer, and leaves again in one of several ways.
func come(t *testing.T, addr string, i int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /cam HTTP/1.1\r\nHost: "+addr+"\r\n"+strings.Join(handshake, "\r\n")+"\r\n\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 101 ") {
		t.Errorf("%q, %v", line, err)
		return
	}
	switch i % 3 {
	case 0: // it leaves at once
	case 1:
		_, _ = r.Discard(500)
	case 2:
		_, _ = io.WriteString(conn, "\x88\x82\x00\x00\x00\x00\x03\xe8")
		_, _ = io.Copy(io.Discard, r)
	}
}

// TestFloodOfConnections: those who connect and say nothing, or not all of it, keep no viewer out.
func TestFloodOfConnections(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	for i := range 3 * maxConnections {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x")
		}
	}
	for range 20 {
		s.watch("/")
	}
	testwait.Eventually(t, "all viewers are in", func() bool { return s.Viewers() == 20 })
}

// TestGoneBeforeTheAnswer: a client that is gone when its handshake is answered leaves nothing.
func TestGoneBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	for range 100 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /cam HTTP/1.1\r\nHost: "+s.addr+"\r\n"+strings.Join(handshake, "\r\n")+
			"\r\n\r\n")
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	testwait.Eventually(t, "nobody is left", func() bool { return s.Viewers() == 0 })
}
