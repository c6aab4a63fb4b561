package viewer

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// fakeConn is the hub's end of a connection whose kernel takes as many bytes as its test gives it room for.
type fakeConn struct {
	net.Conn // nil: what is not below must not be called

	mu       sync.Mutex
	moved    *sync.Cond
	room     int
	out      []byte
	closed   bool
	expired  bool // the write deadline has passed
	deadline *time.Timer
	onClose  func() // nil: nothing

	reads  *io.PipeReader // what the client sends
	client *io.PipeWriter
}

// directConn can be written to without waiting, as a TCP connection can.
type directConn struct{ *fakeConn }

func newFakeConn(room int) *fakeConn {
	c := &fakeConn{room: room}
	c.moved = sync.NewCond(&c.mu)
	c.reads, c.client = io.Pipe()
	return c
}

func (c directConn) TryWrite(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		panic("a closed connection was written to without waiting: its descriptor may be another's")
	}
	return c.take(p)
}

// take takes what there is room for. c.mu is held.
func (c *fakeConn) take(p []byte) int {
	if c.closed {
		return 0
	}
	n := min(c.room, len(p))
	c.room -= n
	c.out = append(c.out, p[:n]...)
	return n
}

func (c *fakeConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for {
		n += c.take(p[n:])
		switch {
		case c.closed:
			return n, net.ErrClosed
		case n == len(p):
			return n, nil
		case c.expired:
			return n, os.ErrDeadlineExceeded
		}
		c.moved.Wait()
	}
}

func (c *fakeConn) Close() error {
	if c.onClose != nil {
		c.onClose()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline != nil {
		c.deadline.Stop()
	}
	c.closed = true
	c.moved.Broadcast()
	return c.reads.CloseWithError(net.ErrClosed)
}

func (c *fakeConn) CloseWrite() error { return nil }

func (c *fakeConn) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = time.AfterFunc(time.Until(at), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.expired = true
		c.moved.Broadcast()
	})
	return nil
}

func (c *fakeConn) SetReadDeadline(at time.Time) error {
	time.AfterFunc(time.Until(at), func() { _ = c.reads.CloseWithError(os.ErrDeadlineExceeded) })
	return nil
}

// give makes room for n bytes.
func (c *fakeConn) give(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room = min(c.room+n, 1<<30)
	c.moved.Broadcast()
}

// client is the other end of a fakeConn.
type client struct {
	conn  *fakeConn
	v     *viewer
	next  bool
	ended chan struct{} // closed when the hub has done with it

	answers bool   // pings and close frames
	read    int    // bytes of conn.out that were taken apart
	stream  []byte // payload of messages
	code    int    // of the hub's close frame; 0: none came
	pings   []time.Time
}

// connect adds a viewer to the hub.
func connect(h *hub, room int, direct, answers, next bool) *client {
	c := &client{conn: newFakeConn(room), answers: answers, next: next, ended: make(chan struct{})}
	var conn net.Conn = c.conn
	if direct {
		conn = directConn{c.conn}
	}
	c.v = newViewer(h, conn, nil)
	if !h.join(c.v, next) {
		close(c.ended)
		return c
	}
	go func() {
		defer close(c.ended)
		_ = c.v.serve(bufio.NewReaderSize(c.conn.reads, readBuffer))
	}()
	return c
}

// take takes apart what has come, and answers it.
func (c *client) take(t *testing.T) {
	t.Helper()
	c.conn.mu.Lock()
	b := c.conn.out[c.read:]
	c.conn.mu.Unlock()
	for len(b) >= 2 && len(b) >= wsconn.HeaderSize(b) {
		n := wsconn.HeaderSize(b)
		h, err := wsconn.ParseHeader(b)
		if err != nil || h.Masked || !h.Final || h.Reserved != 0 {
			t.Fatalf("a frame begins with % x", b[:n])
		}
		if int64(len(b)) < int64(n)+h.Length {
			return
		}
		payload := b[n : n+int(h.Length)]
		b = b[n+int(h.Length):]
		c.read += n + int(h.Length)
		if c.code != 0 {
			t.Fatal("a frame follows a close frame")
		}
		switch h.Opcode {
		case wsconn.OpBinary:
			if len(payload) == 0 || len(payload)%mpegts.PacketSize != 0 {
				t.Fatalf("a message of %d bytes", len(payload))
			}
			c.stream = append(c.stream, payload...)
		case wsconn.OpPing:
			c.pings = append(c.pings, time.Now())
			c.send(wsconn.OpPong, payload)
		case wsconn.OpClose:
			c.code = int(payload[0])<<8 | int(payload[1])
			c.send(wsconn.OpClose, payload[:2])
			if c.answers {
				_ = c.conn.client.Close()
			}
		case wsconn.OpPong:
		default:
			t.Fatalf("a frame with opcode %d", h.Opcode)
		}
	}
}

// send sends a frame, masked with zeros.
func (c *client) send(opcode byte, payload []byte) {
	if !c.answers {
		return
	}
	h := wsconn.Header{Final: true, Opcode: opcode, Masked: true, Length: int64(len(payload))}
	frame := append(wsconn.AppendHeader(nil, h), payload...)
	_, _ = c.conn.client.Write(frame)
}

// source reads a stream in pieces, as vw-push does.
type source struct {
	h      *hub
	reader *stream.Reader
	piece  []byte
	in     int64
}

func newSource(h *hub) *source {
	s := &source{h: h}
	s.reader = stream.NewReader(s, stream.ReaderOptions{Format: stream.TS})
	return s
}

func (s *source) Read(p []byte) (int, error) {
	n := copy(p, s.piece)
	s.piece = s.piece[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// put puts a piece of the stream into the hub's inbox.
func (s *source) put(t *testing.T, piece []byte) {
	t.Helper()
	s.piece = bytes.Clone(piece)
	for len(s.piece) > 0 {
		b, err := s.reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		s.h.in.put(b)
		s.in += int64(b.N)
	}
}

// discardLog drops what is logged.
type discardLog struct{}

func (discardLog) Info(string, ...any)  {}
func (discardLog) Warn(string, ...any)  {}
func (discardLog) Error(string, ...any) {}
