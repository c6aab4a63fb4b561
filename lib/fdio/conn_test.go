package fdio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// connect returns the two ends of a TCP connection; the first is a Conn.
func connect(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	peer, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	conn, err := Listener{tcp}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c, ok := conn.(*Conn)
	if !ok {
		t.Fatalf("accepted a %T", conn)
	}
	return c, peer.(*net.TCPConn)
}

func TestConnCarriesBothWaysToTheEnd(t *testing.T) {
	c, peer := connect(t)
	want := bytes.Repeat([]byte("0123456789"), 1<<20) // more than the kernel holds
	go func() {
		_, _ = io.Copy(peer, peer)
		_ = peer.Close()
	}()
	go func() {
		_, _ = c.Write(want)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(onlyReader{c})
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
	}
}

// onlyReader hides what io.Copy and io.ReadAll might use instead of Read.
type onlyReader struct{ io.Reader }

func TestConnErrorsAreThoseOfPackageNet(t *testing.T) {
	c, peer := connect(t)
	_ = c.SetReadDeadline(time.Unix(1, 0))
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("a deadline is %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	_ = peer.SetLinger(0)
	_ = peer.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a reset is %v", err)
	}
	_ = c.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed connection is %v", err)
	}
}

func TestSocketTakesWhatHasRoom(t *testing.T) {
	c, peer := connect(t)
	s := c.Socket()
	if s == nil {
		t.Skip("SKIPPED: there are no sockets here")
	}
	want := bytes.Repeat([]byte("0123456789"), 1<<20) // more than the kernel holds
	n := s.TryWrite(want)
	if n == 0 || n == len(want) {
		t.Fatalf("%d of %d bytes were taken", n, len(want))
	}
	if more := s.TryWrite(want[n:]); more != 0 {
		t.Fatalf("%d bytes were taken when there was no room", more)
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want[:n]) {
		t.Fatalf("what came is not what was taken: %v", err)
	}
	_ = peer.SetLinger(0)
	_ = peer.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("a reset is %v", err)
	}
	if n := s.TryWrite([]byte("x")); n != 0 {
		t.Fatalf("%d bytes were taken after a reset", n)
	}
}
