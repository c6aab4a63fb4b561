//go:build linux

package test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// stubborn returns the URLs of peers with which nothing can be ended in order, by name. Each takes what it takes of a
// stream first.
func stubborn(t testing.TB) map[string]string {
	t.Helper()
	silence := func(c net.Conn) { // says nothing, reads nothing, stays
		t.Cleanup(func() { c.Close() })
	}
	accepting := func(do func(net.Conn)) string {
		ln := listen(t)
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				do(c)
			}
		}()
		return ln.Addr().String()
	}
	unanswered := newSink(t, listen(t), nil)
	deaf := newLink(t, listen(t), always(unanswered.addr)) // dies when there is a connection
	go func() {
		testwait.Poll(func() bool {
			all := unanswered.connections()
			return len(all) > 0 && all[0].size() > 0
		})
		deaf.die()
	}()
	none := listen(t)
	none.Close()
	hanging := accepting(silence)
	return map[string]string{
		"stalled":             newSink(t, listenAt(t, "127.0.0.1", smallBuffer), func(c *sunk) { c.stall() }).url,
		"half-open":           deaf.url,
		"1001 and silence":    newSink(t, listen(t), func(c *sunk) { c.fallSilent() }).url,
		"refusing":            "ws://" + none.Addr().String(),
		"hanging handshake":   "ws://" + hanging,
		"hanging TLS":         "wss://" + hanging,
		"accepts and resets":  "ws://" + accepting(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() }),
		"answers with a 503":  refusing(t, http.StatusServiceUnavailable),
		"ignores the closing": newSink(t, listen(t), func(c *sunk) { ignoreClosing(c) }).url,
	}
}

func refusing(t testing.TB, status int) string {
	t.Helper()
	ln := listen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Close() })
	return "ws://" + ln.Addr().String()
}

// ignoreClosing reads what comes as bytes, and never answers.
func ignoreClosing(c *sunk) {
	buf := make([]byte, 64<<10)
	for {
		if _, err := c.tcp.Read(buf); err != nil {
			return
		}
	}
}

// TestSIGTERMEndsInTime: whatever the peer does, vw-push ends within --linger and a second; a busy machine may add to
// that.
func TestSIGTERMEndsInTime(t *testing.T) {
	const linger, busy = 2 * time.Second, time.Second
	var all sync.WaitGroup
	peers := stubborn(t)
	for name, url := range peers {
		for _, live := range []bool{false, true} {
			args := []string{"--linger", linger.String(), "--buffer", "1MiB", url}
			if live {
				args = append([]string{"--live"}, args...)
			}
			r, w := pipe(t)
			push := start(t, wiring{stdin: r}, "vw-push", args...)
			r.Close()
			newFeeder(t, w, 20*time.Millisecond, camera1300(2).Frame)
			all.Go(func() {
				// Before its ledger exists, vw-push does not handle signals.
				testwait.Poll(func() bool {
					_, err := os.Stat(push.ledger)
					return err == nil
				})
				time.Sleep(2500 * time.Millisecond) // with all of them at work
				at := time.Now()
				_ = push.cmd.Process.Signal(syscall.SIGTERM)
				<-push.done
				took := time.Since(at)
				status := push.cmd.ProcessState.ExitCode()
				t.Logf("%s, live %v: ended after %v with status %d", name, live, took.Round(time.Millisecond), status)
				if took > linger+time.Second+busy {
					t.Errorf("%s, live %v: ended after %v", name, live, took)
				}
				if status != 3 {
					t.Errorf("%s, live %v: status %d", name, live, status)
				}
				push.account()
			})
		}
	}
	all.Wait()
}

// TestNoHotLoop: a server that takes a connection and ends it at once is not dialled again and again.
func TestNoHotLoop(t *testing.T) {
	t.Parallel()
	const during = 5 * time.Second
	// Pauses of 250 ms and then of 250 ms to twice, four, eight … times that: ten in that time are very many.
	const most = 12
	var all sync.WaitGroup
	for name, end := range map[string]func(c *sunk){
		"a close frame": func(c *sunk) { c.goAway() },
		"a reset":       func(c *sunk) { _ = c.tcp.(*net.TCPConn).SetLinger(0); c.tcp.Close() },
		"an end":        func(c *sunk) { c.tcp.Close() },
	} {
		var dials atomic.Int64
		server := newSink(t, listen(t), func(c *sunk) {
			dials.Add(1)
			go end(c)
		})
		r, w := pipe(t)
		push := start(t, wiring{stdin: r}, "vw-push", "--live", "--linger", "0s", server.url)
		r.Close()
		feed := newFeeder(t, w, 40*time.Millisecond, camera1300(3).Frame)
		all.Go(func() {
			time.Sleep(during)
			n := dials.Load()
			t.Logf("%s: %d dials in %v", name, n, during)
			if n < 3 || n > most {
				t.Errorf("%s: %d dials in %v", name, n, during)
			}
			feed.end()
			<-push.done
			if status := push.cmd.ProcessState.ExitCode(); status != 3 {
				t.Errorf("%s: status %d", name, status)
			}
			push.account()
			if lines := strings.Count(push.stderr.String(), "connection lost"); int64(lines) > n {
				t.Errorf("%s: %d lines for %d losses", name, lines, n)
			}
		})
	}
	all.Wait()
}

// TestNothingIsLeftOfConnections: after many connections vw-push has as many descriptors and goroutines as after one,
// and has not filled the log.
func TestNothingIsLeftOfConnections(t *testing.T) {
	t.Parallel()
	after := func(connections int) (descriptors, goroutines int) {
		server := newSink(t, listen(t), nil)
		r, w := pipe(t)
		push := start(t, wiring{stdin: r}, "vw-push", "--live", "--backoff-min", "1ms", "--backoff-max", "2ms",
			server.url)
		r.Close()
		feed := newFeeder(t, w, 5*time.Millisecond, camera1300(4).Frame)
		for n := range connections {
			c := server.wait(t, n, 1)
			if n == connections-1 {
				break
			}
			_ = c.tcp.(*net.TCPConn).SetLinger(0)
			c.tcp.Close()
		}
		server.wait(t, connections-1, 200_000)
		quiet := len(push.stderr.String()) // what comes later answers a question
		descriptors = push.descriptors()
		goroutines = push.goroutines()
		oneASecond(t, linesOf(t, push.stderr.String()[:quiet]))
		feed.end()
		return descriptors, goroutines
	}
	d1, g1 := after(1)
	d50, g50 := after(51)
	t.Logf("after 1 connection %d descriptors and %d goroutines, after 51 %d and %d", d1, g1, d50, g50)
	if d50 > d1 || g50 > g1 || g1 < 2 {
		t.Error(fmt.Sprint("descriptors ", d1, d50, " goroutines ", g1, g50))
	}
}
