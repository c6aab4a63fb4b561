package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// closeTimeout is how long a publisher may take to answer a close frame, whatever it sends meanwhile.
const closeTimeout = time.Second

var (
	errText = errors.New("the publisher sent a text message")
	// errBroken: the connection failed or broke the protocol.
	errBroken = errors.New("the websocket broke")
)

// serveWebsocket answers a publisher whose binary messages, joined, are the stream.
func (s *Server) serveWebsocket(c *connection, r *http.Request, rest []byte) {
	if _, refusal := s.authorize(r); refusal == nil && !wsconn.IsHandshake(r) {
		s.refuse(c, badHandshake) // the present publisher stays
		return
	}
	p, refusal := s.admit(c, r)
	if refusal != nil {
		s.refuse(c, *refusal)
		return
	}
	conn, err := upgrade(c, r, rest)
	if err != nil {
		s.release(p, false)
		s.o.Log.Warn("websocket not accepted", "publisher", p.id, "remote", p.remote, "err", err)
		return
	}
	defer conn.CloseNow()
	s.takeWebsocket(p, conn, func() { s.conns.set(c, closing) })
}

// takeWebsocket publishes the messages of a websocket, calls ended, and closes it. It waits for closeTimeout at most
// for the publisher to answer the close frame, and throws away what comes meanwhile.
func (s *Server) takeWebsocket(p *publisher, conn *wsconn.Conn, ended func()) {
	defer s.release(p, true) // also if something panics

	if !s.o.Live {
		defer s.confirmDelivery(p, conn)()
	}
	m := receive(conn, s.o.MaxBody, s.o.IdleTimeout)
	end := s.publish(p, m)
	ended()
	_ = m.Conn.Close()
	conn.SendClose(closeCode(end))
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-conn.Done():
	case <-t.C:
	case <-s.abortCtx.Done():
	}
	conn.CloseNow()
	m.close()
}

// closeCode returns how to close a websocket whose stream ended so (RFC 6455, 7.4.1).
func closeCode(end error) (code int, reason string) {
	var size *stream.PacketSizeError
	switch {
	case end == io.EOF:
		return wsconn.StatusNormalClosure, ""
	case errors.As(end, &size):
		return wsconn.StatusUnsupportedData, wrongPackets.text
	case errors.Is(end, errBroken):
		return wsconn.StatusProtocolError, malformed.text
	case errors.Is(end, errText):
		return wsconn.StatusUnsupportedData, "send binary messages"
	case errors.Is(end, errTooLarge):
		return wsconn.StatusMessageTooBig, tooLarge.text
	case errors.Is(end, errIdle):
		return wsconn.StatusPolicyViolation, requestTimeout.text
	case errors.Is(end, errReplaced):
		return wsconn.StatusPolicyViolation, replaced.text
	case errors.Is(end, errRevoked):
		return wsconn.StatusPolicyViolation, revoked.text
	default:
		return wsconn.StatusGoingAway, stopping.text
	}
}

// receiveBuffer is the most that is read at once, in bytes.
const receiveBuffer = 128 << 10

// messageReader is the stream of a websocket publisher. A goroutine of its own receives, because a read of a websocket
// that is cancelled ends the connection. It reads on after the end of the stream until the connection ends: the answer
// to a close frame comes after whatever the publisher sends before that.
type messageReader struct {
	net.Conn // the reader's end of what was received
	in       net.Conn
	conn     *wsconn.Conn
	message  io.Reader // nil between two messages
	limited  bool
	allowed  int64 // how many bytes may still come, if limited
	idle     time.Duration

	finish   sync.Once
	done     chan struct{} // closed when the stream has ended
	ended    error         // set before done is closed
	returned chan struct{} // closed when the goroutine has ended
}

func receive(conn *wsconn.Conn, limit int64, idle time.Duration) *messageReader {
	m := &messageReader{
		conn: conn, limited: limit > 0, allowed: limit, idle: idle,
		done: make(chan struct{}), returned: make(chan struct{}),
	}
	m.Conn, m.in = net.Pipe()
	go func() {
		defer close(m.returned)
		m.endWith(m.receive())
		m.drain()
	}()
	return m
}

// endWith ends the stream. The first error counts.
func (m *messageReader) endWith(err error) {
	m.finish.Do(func() {
		m.ended = err
		close(m.done)
		_ = m.in.Close() // the reader gets to the end of what was received
	})
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

// close waits for the receiving goroutine. The connection must have ended.
func (m *messageReader) close() {
	_ = m.Conn.Close()
	<-m.returned
}

// receive copies messages until the stream ends, and returns how it ended.
func (m *messageReader) receive() error {
	var waiting atomic.Bool
	var idle *time.Timer
	idle = time.AfterFunc(math.MaxInt64, func() {
		switch {
		case !waiting.Load():
		case m.conn.PingsWait():
			idle.Reset(m.idle) // the publisher may wait for its pong, and that for a slow output
		default:
			m.endWith(errIdle)
		}
	})
	defer idle.Stop()
	buf := make([]byte, receiveBuffer)
	for {
		// Only payload ends the wait: neither pings nor headers nor empty messages say that the stream goes on.
		if m.idle > 0 {
			idle.Reset(m.idle)
		}
		waiting.Store(true)
		n, err := m.next(buf)
		waiting.Store(false)
		idle.Stop() // a slow output is not the publisher's fault
		if n > 0 {
			if err := m.forward(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// next waits for payload. With an error, the stream has ended after the bytes that it returns.
func (m *messageReader) next(buf []byte) (int, error) {
	for {
		if m.message == nil {
			isText, r, err := m.conn.NextMessage(context.Background())
			if err != nil {
				return 0, endOfStream(err)
			}
			if isText {
				return 0, errText
			}
			m.message = r
		}
		n, err := m.message.Read(buf)
		if err == io.EOF {
			m.message, err = nil, nil
		}
		if err != nil {
			err = endOfStream(err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// drain reads until the connection ends.
func (m *messageReader) drain() {
	for {
		_, r, err := m.conn.NextMessage(context.Background())
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return
		}
	}
}

// forward passes on what was received, up to the limit.
func (m *messageReader) forward(p []byte) error {
	tooLong := m.limited && int64(len(p)) > m.allowed
	if tooLong {
		p = p[:m.allowed]
	}
	m.allowed -= int64(len(p))
	if len(p) > 0 {
		if _, err := m.in.Write(p); err != nil {
			return err // the stream has ended already
		}
	}
	if tooLong {
		return errTooLarge
	}
	return nil
}

// endOfStream returns how a stream ended whose connection ended with err. A normal close frame completes it.
func endOfStream(err error) error {
	var closed *wsconn.CloseError
	if !errors.As(err, &closed) {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	switch closed.Code {
	case wsconn.StatusNormalClosure, wsconn.StatusGoingAway, wsconn.StatusNoStatusRcvd:
		return io.EOF
	}
	return fmt.Errorf("closed by the publisher: %w", err)
}
