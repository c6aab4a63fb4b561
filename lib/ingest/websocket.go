package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// closeTimeout limits a close handshake.
const closeTimeout = 2 * time.Second

var (
	errText = errors.New("the publisher sent a text message")
	// errBroken: the connection failed or broke the protocol.
	errBroken = errors.New("the websocket broke")
)

// isWebsocket reports whether the request asks for a websocket (RFC 6455, 4.1).
func isWebsocket(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, value := range r.Header.Values("Upgrade") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "websocket") {
				return true
			}
		}
	}
	return false
}

// serveWebsocket answers a publisher whose binary messages, joined, are the stream.
func (s *Server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	p := s.newPublisher(r)
	refusal := s.authorizer.refusal(r)
	claimed := refusal == nil && wsconn.IsHandshake(r) // if not, Accept answers why, and the present publisher stays
	if claimed {
		refusal = s.claim(p)
	}
	if refusal != nil {
		conn, _, err := hijack(w)
		if err != nil {
			http.Error(w, unsupportedProto.text, unsupportedProto.status)
			return
		}
		defer s.conns.remove()
		s.refuse(conn, r, *refusal)
		return
	}
	conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
	if err == nil && !claimed {
		conn.CloseNow()
		s.conns.remove()
		err = errors.New("not a valid handshake")
	}
	if err != nil {
		if claimed {
			s.release(p, false)
		}
		s.o.Log.Warn("refused", "remote", r.RemoteAddr, "path", p.path, "reason", err)
		return
	}
	defer s.conns.remove()
	defer conn.CloseNow()
	s.takeWebsocket(p, conn)
}

// takeWebsocket publishes the messages of a websocket, and closes it.
func (s *Server) takeWebsocket(p *publisher, conn *wsconn.Conn) {
	defer s.release(p, true) // also if something panics

	m := receive(conn, s.o.MaxBody, s.o.IdleTimeout)
	end := s.publish(p, m)
	code, reason := closeCode(end)
	m.discard()
	ctx, cancel := context.WithTimeout(s.abortCtx, closeTimeout)
	defer cancel()
	_ = conn.Close(ctx, code, reason) // whether the publisher answers or not
	m.close()
}

// closeCode returns how to close a websocket whose stream ended so (RFC 6455, 7.4.1).
func closeCode(end error) (code int, reason string) {
	switch {
	case end == io.EOF:
		return 1000, ""
	case errors.Is(end, errBroken):
		return 1002, malformed.text
	case errors.Is(end, errText):
		return 1003, "send binary messages"
	case errors.Is(end, errTooLarge):
		return 1009, tooLarge.text
	case errors.Is(end, errIdle):
		return 1008, tooSlow.text
	case errors.Is(end, errReplaced):
		return 1008, replaced.text
	default:
		return 1001, stopping.text
	}
}

// receiveBuffer is the most that is read at once, in bytes.
const receiveBuffer = 128 << 10

// messageReader is the stream of a websocket publisher. A goroutine of its own receives, because a read of a websocket
// that is cancelled ends the connection.
type messageReader struct {
	net.Conn // the reader's end of what was received
	in       net.Conn
	conn     *wsconn.Conn
	limited  bool
	allowed  int64 // how many bytes may still come, if limited
	idle     time.Duration

	cancel context.CancelCauseFunc
	done   chan struct{}
	ended  error // set before done is closed
}

func receive(conn *wsconn.Conn, limit int64, idle time.Duration) *messageReader {
	m := &messageReader{conn: conn, limited: limit > 0, allowed: limit, idle: idle, done: make(chan struct{})}
	m.Conn, m.in = net.Pipe()
	var ctx context.Context
	ctx, m.cancel = context.WithCancelCause(context.Background())
	go func() {
		err := m.receive(ctx)
		m.ended = err
		close(m.done)
		_ = m.in.Close() // the reader gets to the end of it
	}()
	return m
}

// end returns how the stream ended; see source.
func (m *messageReader) end() error {
	select {
	case <-m.done:
		return m.ended
	default:
		return nil
	}
}

// discard drops what is still being received.
func (m *messageReader) discard() { _ = m.Conn.Close() }

// close ends the receiving goroutine and waits for it.
func (m *messageReader) close() {
	m.discard()
	m.cancel(nil)
	<-m.done
}

// receive copies messages until the stream ends, and returns how it ended.
func (m *messageReader) receive(ctx context.Context) error {
	waiting := time.AfterFunc(math.MaxInt64, func() { m.cancel(errIdle) })
	defer waiting.Stop()
	wait := func() {
		if m.idle > 0 {
			waiting.Reset(m.idle)
		}
	}
	buf := make([]byte, receiveBuffer)
	for {
		wait()
		isText, r, err := m.conn.NextMessage(ctx)
		if isText {
			return errText
		}
		for err == nil {
			wait()
			var n int
			n, err = r.Read(buf)
			waiting.Stop() // a slow output is not the publisher's fault
			if err := m.forward(buf[:n]); err != nil {
				return err
			}
		}
		if err != io.EOF {
			return endOfStream(ctx, err)
		}
	}
}

// forward passes on what was received, up to the limit.
func (m *messageReader) forward(p []byte) error {
	over := m.limited && int64(len(p)) > m.allowed
	if over {
		p = p[:m.allowed]
	}
	m.allowed -= int64(len(p))
	if len(p) > 0 {
		if _, err := m.in.Write(p); err != nil {
			return err
		}
	}
	if over {
		return errTooLarge
	}
	return nil
}

// endOfStream returns how a stream ended whose connection ended with err. A normal close frame completes it.
func endOfStream(ctx context.Context, err error) error {
	var closed *wsconn.CloseError
	switch {
	case errors.Is(context.Cause(ctx), errIdle):
		return errIdle
	case !errors.As(err, &closed):
		return fmt.Errorf("%w: %w", errBroken, err)
	case closed.Code == 1000 || closed.Code == 1001 || closed.Code == 1005:
		return io.EOF
	}
	return fmt.Errorf("closed by the publisher: %w", err)
}
