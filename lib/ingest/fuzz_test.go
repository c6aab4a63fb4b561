package ingest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
)

// scripted is a client that has sent data and ended its direction. It takes what it is answered.
type scripted struct {
	in     io.Reader
	once   sync.Once
	closed chan struct{}
}

// inPieces reads so many bytes at a time; 0 is all.
type inPieces struct {
	data []byte
	size int
}

func (r *inPieces) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	if r.size > 0 {
		p = p[:min(len(p), r.size)]
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

func (s *scripted) Read(p []byte) (int, error)     { return s.in.Read(p) }
func (*scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (*scripted) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }
func (*scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2)} }
func (*scripted) SetDeadline(time.Time) error      { return nil }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }
func (s *scripted) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// fuzzRig is a server for connections from memory.
type fuzzRig struct {
	*Server
	out *sink
	log *logBuffer
}

func newFuzzRig(f *testing.F) *fuzzRig {
	r := &fuzzRig{out: newSink(), log: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	all, err := access.FixedTokens("the test", "sesame", slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	nothing := &noListener{accepting: make(chan struct{}), closed: make(chan struct{})}
	r.Server = New(Options{
		Output: r.out, Ledger: stream.NewLedger("vw-ingest"), Log: log, Refusals: access.NewRefusalLog(log),
		Tokens: all, Format: stream.Raw, Buffer: 1 << 20, Linger: testTimeout,
		Listeners: []net.Listener{nothing},
	})
	r.lingering.delay = 0
	soft, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(soft, context.Background())
	}()
	<-nothing.accepting
	f.Cleanup(func() {
		stop()
		<-done
	})
	return r
}

// noListener accepts no connection.
type noListener struct {
	accepting chan struct{} // closed when the server runs
	once      sync.Once
	closed    chan struct{}
}

func (l *noListener) Accept() (net.Conn, error) {
	close(l.accepting)
	<-l.closed
	return nil, net.ErrClosed
}

func (l *noListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*noListener) Addr() net.Addr { return &net.TCPAddr{} }

// connect lets a client come and go, and returns what has come out and been logged.
func (r *fuzzRig) connect(data []byte, pieces int) (out []byte, log string) {
	c := &scripted{in: &inPieces{data, pieces}, closed: make(chan struct{})}
	r.open(c)
	<-c.closed
	testwait.Poll(func() bool {
		open, _ := r.Connections()
		return open == 0
	})
	_ = r.queue.Flush(context.Background())
	r.out.mu.Lock()
	out, r.out.data = r.out.data, nil
	r.out.mu.Unlock()
	r.log.mu.Lock()
	log = r.log.buf.String()
	r.log.buf.Reset()
	r.log.mu.Unlock()
	return out, log
}

// FuzzConnection: out of a connection come the bytes that the model gets out of it, or none where the server may refuse
// what the model would not; in whatever pieces it comes.
func FuzzConnection(f *testing.F) {
	const post = "POST /sesame HTTP/1.1\r\nHost: x\r\n"
	const upgrade = "GET /sesame HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for _, text := range []string{
		post + "Content-Length: 5\r\n\r\nhello and more",
		post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhell",
		post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nfoo\r\n0\r\nX: y\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5 ;x\r\nhello\r\nx",
		post + "Transfer-Encoding: gzip, chunked\r\nExpect: 100-continue\r\n\r\n5\nhello",
		"PUT / HTTP/1.0\r\nAuthorization: Bearer sesame\r\nContent-Length: 5\r\n\r\nhello",
		"POST /?sesame HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dTpzZXNhbWU=\r\nContent-Length: 5\r\n\r\nhello",
		"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		upgrade + "\x82\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e\x88\x82\x00\x00\x00\x00\x03\xe8",
		upgrade + "\x02\x83\x00\x00\x00\x00hel\x89\x81\x00\x00\x00\x00p" +
			"\x80\x82\x00\x00\x00\x00lo\x81\x80\x00\x00\x00\x00",
		upgrade + "\x82\xfe\x00\x05\x00\x00\x00\x00hello\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00hel",
	} {
		f.Add([]byte(text), byte(0))
		f.Add([]byte(text), byte(1))
	}
	r := newFuzzRig(f)
	f.Fuzz(func(t *testing.T, data []byte, pieces byte) {
		out, log := r.connect(data, int(pieces))
		v, want := model(data)
		switch {
		case v == accepted && !bytes.Equal(out, want), v == unsure && len(out) > 0 && !bytes.Equal(out, want):
			t.Errorf("%q came out, not %q", out, want)
		case v == refused && len(out) > 0:
			t.Errorf("%q came out of what must be refused", out)
		}
		if c := r.account.Counts(); !c.Balances() || c.Held+c.Unconfirmed+c.Dropped.Sum() != 0 {
			t.Errorf("the account: %+v", c)
		}
		if strings.Count(string(data), "sesame") < 2 && strings.Contains(log, "sesame") {
			t.Errorf("the token is in the log: %s", log)
		}
		if strings.Contains(log, "fault in this program") {
			t.Error(log)
		}
	})
}
