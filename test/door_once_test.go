package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func counted(body []byte) string {
	return fmt.Sprintf("POST /sesame HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestDoorOnceTwo: of several publishers that come at the same time, one gets in and the others learn that they do not.
func TestDoorOnceTwo(t *testing.T) {
	t.Parallel()
	for round := range 10 {
		d := openDoor(t, "--once", "--token-file", tokenFile(t))
		bodies := [4][]byte{}
		var in [4]bool
		var running sync.WaitGroup
		begin := make(chan struct{})
		for i := range bodies {
			bodies[i] = blob(100_000+i, uint64(i+1))
			conn := d.dial(1)
			running.Go(func() {
				<-begin
				go io.WriteString(conn, counted(bodies[i]))
				got := statusOf(conn)
				if in[i] = got == 204; !in[i] && got != 409 && got != 503 && got != 0 {
					t.Errorf("round %d: a publisher got %d", round, got)
				}
			})
		}
		close(begin)
		running.Wait()
		d.expect(0)
		out := read(t, d.out)
		n := 0
		for i, b := range bodies {
			if in[i] {
				n++
				same(t, "what came out", out, b)
			}
		}
		if n != 1 {
			t.Errorf("round %d: %d publishers got in", round, n)
		}
	}
}

// TestDoorOnceAfterTheDead: who dies before it publishes was no publisher; the next one is the first.
func TestDoorOnceAfterTheDead(t *testing.T) {
	t.Parallel()
	body := packets(100)
	for name, begin := range map[string]string{
		"nothing":              "",
		"half a header":        "POST /sesame HTTP/1.1\r\nHost: x\r\n",
		"half a handshake":     doorHandshake[:100],
		"no handshake":         strings.Replace(doorHandshake, "dGhl", "", 1),
		"a wrong token":        strings.Replace(doorHandshake, "sesame", "wr0ng", 1),
		"a method that is not": strings.Replace(counted(body), "POST", "DELETE", 1),
		"no length":            "POST /sesame HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, "--once", "--token-file", tokenFile(t))
			for range 20 {
				conn := d.dial(1)
				_, _ = io.WriteString(conn, begin)
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
			d.publishWith(body)
			d.expect(0)
			same(t, "what came out", read(t, d.out), body)
		})
	}
}

// publishWith publishes a whole body with the token.
func (d *door) publishWith(body []byte) {
	d.t.Helper()
	conn := d.dial(1)
	go io.WriteString(conn, counted(body))
	if got := statusOf(conn); got != 204 {
		d.t.Errorf("the publisher got %d", got)
	}
}

// TestDoorOnceDeath: a publisher that dies ends a vw-ingest --once, with what it has brought, however it dies.
func TestDoorOnceDeath(t *testing.T) {
	t.Parallel()
	body := packets(100)
	for name, begin := range map[string]string{
		"in a body":    strings.TrimSuffix(counted(append(body, 'x')), "x"),
		"in a chunk":   fmt.Sprintf("%s%x\r\n%s", chunkedPost, len(body)+1, body),
		"in a message": doorHandshake + string(frame(true, 2, int64(len(body))+1)) + string(body),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, "--once", "--token-file", tokenFile(t))
			conn := d.send(begin)
			d.awaitOut(len(body))
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
			d.expect(0)
			same(t, "what came out", read(t, d.out), body)
		})
	}
}

// TestDoorOnceSignals: a signal at any moment of a publisher's life ends vw-ingest, and the account is complete.
func TestDoorOnceSignals(t *testing.T) {
	t.Parallel()
	body := packets(2000)
	for round := range 12 {
		d := openDoor(t, "--once", "--token-file", tokenFile(t), "--linger", "5s")
		conn := d.dial(1)
		go io.WriteString(conn, counted(body))
		time.Sleep(time.Duration(round) * 300 * time.Microsecond)
		all := [][]os.Signal{{syscall.SIGTERM}, {syscall.SIGINT}, {syscall.SIGTERM, syscall.SIGINT}}
		for _, s := range all[round%3] {
			_ = d.cmd.Process.Signal(s) // it may have ended
		}
		if got := d.wait(); got != 0 && got != 1 && got != 3 {
			t.Errorf("round %d: exit status %d", round, got)
		}
		out := read(t, d.out)
		if len(out) > len(body) || string(out) != string(body[:len(out)]) {
			t.Errorf("round %d: %d bytes came out, or others", round, len(out))
		}
		if c := d.account().Out[0]; c.Confirmed != int64(len(out)) {
			t.Errorf("round %d: %d bytes came out: %+v", round, len(out), c)
		}
		if got := statusOf(conn); got == 204 && len(out) != len(body) {
			t.Errorf("round %d: 204 for %d bytes of %d", round, len(out), len(body))
		}
	}
}
