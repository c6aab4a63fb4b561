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

// closePatience is how long a close handshake may take.
const closePatience = 2 * time.Second

var (
	errText = errors.New("the publisher sent a text message")
	// errBroken says that what came was no websocket any more.
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

// serveWebsocket is for a publisher whose binary messages, joined, are the stream.
func (s *Server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	p := s.newPublisher(r)
	refusal := s.guard.refusal(r)
	claimed := refusal == nil && wsconn.IsHandshake(r) // else Accept says why, and nobody loses his place for it
	if claimed {
		refusal = s.claim(p)
	}
	if refusal != nil {
		conn, _, err := hijack(w)
		if err != nil {
			http.Error(w, unsupportedProto.text, unsupportedProto.status)
			return
		}
		defer s.conns.leave()
		s.refuse(conn, r, *refusal)
		return
	}
	conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
	if err == nil && !claimed {
		conn.CloseNow()
		s.conns.leave()
		err = errors.New("not a valid handshake")
	}
	if err != nil {
		if claimed {
			s.release(p, false)
		}
		s.o.Log.Warn("refused", "remote", r.RemoteAddr, "path", p.path, "reason", err)
		return
	}
	defer s.conns.leave()
	defer conn.CloseNow()
	s.takeWebsocket(p, conn)
}

// takeWebsocket publishes what comes over a websocket, and closes it.
func (s *Server) takeWebsocket(p *publisher, conn *wsconn.Conn) {
	defer s.release(p, true) // also if something panics

	m := receive(conn, s.o.MaxBody, s.o.IdleTimeout)
	end := s.publish(p, m)
	code, reason := closeCode(end)
	m.abandon()
	ctx, cancel := context.WithTimeout(s.over, closePatience)
	defer cancel()
	_ = conn.Close(ctx, code, reason) // the publisher is done with, whether it answers or not
	m.close()
}

// closeCode is how a websocket is closed whose stream ended so: RFC 6455, 7.4.1.
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
	case errors.Is(end, errTakenOver):
		return 1008, takenOver.text
	default:
		return 1001, stopping.text
	}
}

// receiveBuffer is how much of a message is read at once, in bytes.
const receiveBuffer = 128 << 10

// messages is what a websocket publisher sends, as a source. A goroutine of its own receives, because a read of a
// websocket that is cut short would be the end of it.
type messages struct {
	net.Conn // what was received, to be read
	in       net.Conn
	conn     *wsconn.Conn
	limited  bool
	allowed  int64 // what may still come, if limited
	idle     time.Duration

	cancel context.CancelCauseFunc
	done   chan struct{}
	ended  error // set before done is closed
}

func receive(conn *wsconn.Conn, limit int64, idle time.Duration) *messages {
	m := &messages{conn: conn, limited: limit > 0, allowed: limit, idle: idle, done: make(chan struct{})}
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

// end tells how the stream ended, as source says.
func (m *messages) end() error {
	select {
	case <-m.done:
		return m.ended
	default:
		return nil
	}
}

// abandon throws away what is still being received.
func (m *messages) abandon() { _ = m.Conn.Close() }

// close ends receiving and waits for it.
func (m *messages) close() {
	m.abandon()
	m.cancel(nil)
	<-m.done
}

// receive copies messages until the end, which it returns.
func (m *messages) receive(ctx context.Context) error {
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
			waiting.Stop() // the output may be slow, and that is not the publisher's fault
			if err := m.pass(buf[:n]); err != nil {
				return err
			}
		}
		if err != io.EOF {
			return ending(ctx, err)
		}
	}
}

// pass hands on what was received, as far as it is allowed.
func (m *messages) pass(p []byte) error {
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

// ending makes the error of a connection the end of a stream. A publisher that closes it as it should has sent it all.
func ending(ctx context.Context, err error) error {
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
