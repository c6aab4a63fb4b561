package ingest

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// publishes says that a publisher is served while something goes on.
func (r *rig) publishes() {
	r.t.Helper()
	r.eventually("a publisher is let in", func() bool {
		resp, err := oneShot.Post(r.url("/"), "", strings.NewReader("x"))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent
	})
}

func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	r := start(t, Options{}, func(r *rig) { r.server.headerTimeout = 200 * time.Millisecond })
	c := r.begin("POST / HTTP/1.1\r\n")
	stop := make(chan struct{})
	var drip sync.WaitGroup
	drip.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = io.WriteString(c, "X: y\r\n")
			}
		}
	})
	if _, err := io.Copy(io.Discard, c.in); errorIsTimeout(err) {
		t.Error("a header may take for ever")
	}
	close(stop)
	drip.Wait()
	r.publishes()
}

func errorIsTimeout(err error) bool {
	n, ok := err.(net.Error)
	return ok && n.Timeout()
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	for name, text := range map[string]string{
		"garbage":         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"huge header":     "POST / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n",
		"huge path":       "POST /" + strings.Repeat("x", 2*maxHeader) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/2":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"two lengths":     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"negative length": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabcd",
		"huge length":     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabcd",
		"gzip, chunked":   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\n\r\n",
		"no host":           "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		"space in a header": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"chunk overflow":    chunkedPost + "10000000000000000\r\nabc",
		"negative chunk":    chunkedPost + "-1\r\nabc",
		"endless chunk line": chunkedPost + "1;" + strings.Repeat("x", maxChunkLine) +
			"\r\nx\r\n",
		"bare line feed":   chunkedPost + "0\n\n",
		"no end of a line": chunkedPost + "0\rx\r\n",
	} {
		c := r.dial()
		_, _ = io.WriteString(c, text) // it may be cut before all is sent
		resp, err := http.ReadResponse(c.in, nil)
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%s: %s", name, resp.Status)
		}
		if errorIsTimeout(err) {
			t.Errorf("%s: no answer, and the connection stays", name)
		}
		c.Close()
	}
	// Both a length and chunks: chunks count, as RFC 9112, 6.3, has it, and the connection is not used again.
	c := r.begin("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" +
		chunk([]byte("body")) + lastChunk +
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nsmuggled")
	c.expect(204)
	if _, err := c.in.ReadByte(); err == nil {
		t.Error("a second request was answered")
	}
	r.publishes()
	r.expectOut([]byte("bodyx"))
}

func TestQuickConnections(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	publisher := r.begin(chunkedPost)
	r.awaitPublisher()
	var many sync.WaitGroup
	for i := range 8 {
		many.Go(func() {
			for j := range 250 {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				if (i+j)%3 == 0 {
					_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-")
				}
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
		})
	}
	many.Wait()
	publisher.send(chunk([]byte("still here")) + lastChunk)
	publisher.expect(204)
	r.publishes()
}

// More connections than are allowed: whichever has waited longest is closed, so that somebody who says what he wants is
// heard, and when others go, there is room again.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	publisher := r.begin(chunkedPost)
	r.awaitPublisher()
	var open []*client
	for range maxWaiting {
		open = append(open, r.dial())
	}
	late := r.begin(chunkedPost)
	late.expect(409)
	if _, err := open[0].in.ReadByte(); errorIsTimeout(err) {
		t.Error("the connection that has waited longest stays")
	}
	_ = open[1].SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := open[1].in.ReadByte(); !errorIsTimeout(err) {
		t.Errorf("the next one: %v", err)
	}
	r.expectLog("too many are open")
	for _, c := range open {
		c.reset()
	}
	publisher.send(lastChunk)
	publisher.expect(204)
	r.publishes()
}
