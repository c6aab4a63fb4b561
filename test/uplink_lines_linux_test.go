//go:build linux

package test

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
)

// logLine is a line of a log in the text form.
type logLine struct {
	at  time.Time // when it was written: the time of what happened, and how long the line waited
	msg string
	to  string
	all string
}

// number is what the line has for a key, or 0.
func (l *logLine) number(key string) (n int64) {
	if m := regexp.MustCompile(` ` + key + `=(\d+)`).FindStringSubmatch(l.all); m != nil {
		n, _ = strconv.ParseInt(m[1], 10, 64)
	}
	return n
}

// linesOf takes a log apart.
func linesOf(t testing.TB, log string) (lines []logLine) {
	t.Helper()
	pattern := regexp.MustCompile(`^time=(\S+) level=\S+ msg=("[^"]*"|\S+) tool=\S+(?: to=(\S+))?`)
	for text := range strings.Lines(log) {
		m := pattern.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("not a line of a log: %s", text)
		}
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			t.Fatal(err)
		}
		if waited := regexp.MustCompile(` ago=(\S+)`).FindStringSubmatch(text); waited != nil {
			ago, err := time.ParseDuration(waited[1])
			if err != nil {
				t.Fatal(err)
			}
			at = at.Add(ago)
		}
		lines = append(lines, logLine{at, strings.Trim(m[2], `"`), m[3], text})
	}
	return lines
}

// oneASecond checks that there is a line a second at most.
func oneASecond(t testing.TB, lines []logLine) {
	t.Helper()
	for i := 1; i < len(lines); i++ {
		// How long a line waited is rounded to 10 ms.
		if pause := lines[i].at.Sub(lines[i-1].at); pause < time.Second-11*time.Millisecond {
			t.Errorf("%v after another line: %s", pause, lines[i].all)
		}
	}
}

// connected is how many connections to the path the server has reported.
func connected(s *server, path string) (n int) {
	for line := range strings.Lines(s.stdout.String()) {
		if strings.Contains(line, `"event":"connected"`) && strings.Contains(line, `"path":"`+path+`"`) {
			n++
		}
	}
	return n
}

// TestLinesUnderStress: while five servers end every connection at once, in five ways, there is a line a second at most
// in all, and each connection is accounted for in one. When four of them are mended, the log says so of each.
func TestLinesUnderStress(t *testing.T) {
	t.Parallel()
	servers := []struct {
		fault       string
		connections int // the last of which stays; 0 if none does
	}{
		{"conn=1-60,do=accept-then-close", 61},
		{"do=reset", 0},
		{"conn=1-60,do=close,code=1001", 61},
		{"conn=1-60,do=refuse,code=503", 1},
		{"conn=1-20,do=reset,after=10KiB", 21},
	}
	var args, urls []string
	for i, server := range servers {
		args = append(args, "--fault", fmt.Sprintf("path=/%d,%s", i, server.fault))
	}
	s := serve(t, args...)
	for i := range servers {
		urls = append(urls, fmt.Sprintf("%s/%d", s.url, i))
	}
	r, w := pipe(t)
	push := start(t, wiring{stdin: r}, "vw-push",
		append([]string{"--live", "--linger", "100ms", "--backoff-min", "1ms", "--backoff-max", "30ms"}, urls...)...)
	r.Close()
	feed := newFeeder(t, w, 40*time.Millisecond, camera1300(5).Frame)
	for i, server := range servers {
		testwait.Eventually(t, "the last connection to "+urls[i], func() bool {
			return connected(s, fmt.Sprint("/", i)) >= server.connections
		})
	}
	var lines []logLine
	last := map[string]string{}
	testwait.Eventually(t, "a line for each that is connected again", func() bool {
		lines = linesOf(t, push.stderr.String())
		for _, l := range lines {
			last[l.to] = l.msg
		}
		for i, url := range urls {
			if servers[i].connections > 0 && last[url] != "connected" {
				return false
			}
		}
		return true
	})
	oneASecond(t, lines)

	feed.end()
	push.expect(3)
	told := map[string]int64{}
	for _, l := range linesOf(t, push.stderr.String()) {
		told[l.to] += l.number("outages")
		if l.msg == "connected" && l.number("outages") == 0 {
			told[l.to]++
		}
	}
	for _, c := range push.account().Out {
		t.Logf("%s: %d connections; the last line before the end: %s", c.To, c.Connects, last[c.To])
		if told[c.To] != c.Connects {
			t.Errorf("%s: %d connections are told of, and there were %d", c.To, told[c.To], c.Connects)
		}
	}
	t.Logf("%d lines", len(lines))
	if t.Failed() {
		t.Log(push.stderr)
	}
}

// TestIngestLinesUnderStress: publishers that take over from each other, and strangers, a hundred times a second, cause
// vw-ingest to log a line a second at most, and then it says who publishes.
func TestIngestLinesUnderStress(t *testing.T) {
	t.Parallel()
	token := write(t, "token", []byte("sesame\n"))
	if err := os.Chmod(token, 0o600); err != nil { // or a warning is logged
		t.Fatal(err)
	}
	ingest := start(t, wiring{}, "vw-ingest", "--listen", "127.0.0.1:0", "--format", "raw",
		"--publishers", "takeover", "--token-file", token)
	address := strings.TrimPrefix(ingestURL(ingest), "http://")
	address, _, _ = strings.Cut(address, "/")
	request := func(path string) net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", path)
		return c
	}
	var publisher net.Conn
	until := time.Now().Add(4 * time.Second)
	n := 0
	for time.Now().Before(until) {
		request("/guess").Close()
		next := request("/sesame/cam1")
		if publisher != nil {
			publisher.Close()
		}
		publisher = next
		n++
		ingest.find(ingest.stdout, fmt.Sprintf("(?:hello){%d}", n))
		time.Sleep(10 * time.Millisecond) // or it closes those that are too many
	}
	defer publisher.Close()
	if n < 20 {
		t.Fatalf("%d takeovers are no stress", n)
	}
	ingest.find(ingest.stderr, fmt.Sprintf(`msg="publisher began" tool=vw-ingest publisher=%d `, n))
	ingest.find(ingest.stderr, fmt.Sprintf(`msg="publisher (?:cut|died)" tool=vw-ingest publisher=%d `, n-1))
	lines := linesOf(t, ingest.stderr.String())
	// The first line says where it listens. Refusals have ten lines a second of their own.
	oneASecond(t, slices.DeleteFunc(lines[1:], func(l logLine) bool { return strings.Contains(l.all, "msg=refused") }))
	t.Logf("%d lines of %d takeovers", len(lines), n)
	ingest.signal(os.Interrupt)
	ingest.expect(0)
}
