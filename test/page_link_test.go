package test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// pageLink is a TCP proxy that can be cut and slowed down.
type pageLink struct {
	url string
	ln  net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	pause time.Duration // after each piece
	wg    sync.WaitGroup
}

// newPageLink makes a link to the host of a URL.
func newPageLink(t *testing.T, url string) *pageLink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := strings.Split(url, "/")[2]
	l := &pageLink{ln: ln, url: strings.Replace(url, host, ln.Addr().String(), 1), conns: map[net.Conn]bool{}}
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.carry(c, host) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		l.cut()
		l.wg.Wait()
	})
	return l
}

func (l *pageLink) carry(near net.Conn, host string) {
	far, err := net.Dial("tcp", host)
	if err != nil {
		near.Close()
		return
	}
	// What waits for a slow link must wait in vw-push, not in the kernel on the way.
	_ = far.(*net.TCPConn).SetReadBuffer(16 << 10)
	_ = near.(*net.TCPConn).SetWriteBuffer(16 << 10)
	l.mu.Lock()
	l.conns[near], l.conns[far] = true, true
	l.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, near)
		far.Close()
	}()
	b := make([]byte, 16<<10)
	for {
		n, err := far.Read(b)
		if _, writeErr := near.Write(b[:n]); err != nil || writeErr != nil {
			break
		}
		l.mu.Lock()
		pause := l.pause
		l.mu.Unlock()
		time.Sleep(pause)
	}
	near.Close()
	far.Close()
	<-done
	l.mu.Lock()
	delete(l.conns, near)
	delete(l.conns, far)
	l.mu.Unlock()
}

// cut closes all connections.
func (l *pageLink) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

// slow makes the link wait after each 16 KiB from the server.
func (l *pageLink) slow(pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = pause
}
