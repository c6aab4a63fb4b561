package testserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// peer is the websocket under a connection: a wsconn.Conn, or a rawConn where something is to go wrong, since a library
// that is right cannot do what is wrong.
type peer interface {
	NextMessage(ctx context.Context) (isText bool, r io.Reader, err error)
	// Close closes the connection and throws away what still comes; SendClose leaves that to NextMessage. With a rawConn
	// Close is for who has called NextMessage last.
	Close(ctx context.Context, code int, reason string) error
	SendClose(code int, reason string)
	CloseNow()
}

// rawConn is a server's websocket connection that does what its steps say. It is read in one goroutine, where the steps
// happen too: what is due by time ends a waiting read by its deadline.
type rawConn struct {
	conn       net.Conn
	r          *bufio.Reader
	maxMessage int64
	began      time.Time
	fired      func(*step) // is told before a step happens

	closing atomic.Bool   // a close frame has been sent: the peer's is the answer
	stop    chan struct{} // closed by CloseNow and SendClose
	write   sync.Mutex    // held while a frame is written
	halting sync.Mutex    // held while stop is closed, and while a flood starts: none does after that
	flood   sync.WaitGroup

	// Of the reading goroutine.
	steps     []*step // to come
	bytes     int64   // of messages
	messages  int64   // whole ones
	frame     ws.Header
	left      int64 // bytes of the frame that have not been read
	masked    int   // bytes of the frame that have
	inMessage bool  // a message has begun and not ended
	size      int64 // of the message so far
	noPong    bool
	latePong  time.Duration
	pongs     []latePong
	rate      int64     // bytes a second; 0: no limit
	rated     time.Time // when what has been read is paid for
}

// latePong is a pong that is to be sent.
type latePong struct {
	due     time.Time
	payload []byte
}

// ownClose says that the connection ended from this side, with a close frame or (1006) without.
type ownClose struct {
	code   int
	reason string
}

func (e *ownClose) Error() string { return fmt.Sprintf("closed with code %d", e.code) }

func newRawConn(conn net.Conn, r *bufio.Reader, maxMessage int64, steps []*step) *rawConn {
	return &rawConn{conn: conn, r: r, maxMessage: maxMessage, began: time.Now(), steps: steps,
		stop: make(chan struct{})}
}

// NextMessage waits for a message, as that of wsconn.Conn does.
func (c *rawConn) NextMessage(context.Context) (isText bool, r io.Reader, err error) {
	if c.inMessage {
		if _, err := io.Copy(io.Discard, rawMessage{c}); err != nil {
			return false, nil, err
		}
	}
	if err := c.next(); err != nil {
		return false, nil, err
	}
	c.size = 0
	return c.frame.OpCode == ws.OpText, rawMessage{c}, nil
}

// next reads up to the payload of the next data frame; on the way it does what control frames and steps ask for.
func (c *rawConn) next() error {
	for {
		if err := c.header(); err != nil {
			return err
		}
		switch op := c.frame.OpCode; {
		case op == ws.OpContinuation:
			return nil
		case op.IsData():
			c.inMessage = true
			return nil
		default:
			if err := c.control(op); err != nil {
				return err
			}
		}
	}
}

// header reads a frame's header.
func (c *rawConn) header() error {
	head, err := c.peek(2)
	if err != nil {
		return err
	}
	n := 2
	switch head[1] & 0x7F {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if head[1]&0x80 != 0 {
		n += 4
	}
	if _, err := c.peek(n); err != nil {
		return err
	}
	h, err := ws.ReadHeader(c.r)
	if err == nil {
		state := ws.StateServerSide
		if c.inMessage {
			state = state.Set(ws.StateFragmented)
		}
		err = ws.CheckHeader(h, state)
	}
	if err != nil {
		return c.refuse(codeProtocol, err.Error())
	}
	c.frame, c.left, c.masked = h, h.Length, 0
	return nil
}

// control takes a control frame, whose header has been read.
func (c *rawConn) control(op ws.OpCode) error {
	payload := make([]byte, c.left)
	if _, err := c.peek(len(payload)); err != nil {
		return err
	}
	_, _ = io.ReadFull(c.r, payload) // they are there
	c.left = 0
	ws.Cipher(payload, c.frame.Mask, 0)
	switch op {
	case ws.OpPing:
		if c.latePong > 0 {
			c.pongs = append(c.pongs, latePong{time.Now().Add(c.latePong), payload})
		} else if !c.noPong {
			return c.send(ws.NewPongFrame(payload))
		}
	case ws.OpClose:
		if len(payload) == 0 {
			c.answer(nil)
			return &wsconn.CloseError{Code: codeNoStatus}
		}
		if len(payload) < 2 || !utf8.Valid(payload[2:]) {
			return c.refuse(codeProtocol, "a close frame that is none")
		}
		code := int(binary.BigEndian.Uint16(payload))
		if !mayBeSent(code) {
			return c.refuse(codeProtocol, fmt.Sprintf("close code %d, which may not be sent", code))
		}
		c.answer(payload)
		return &wsconn.CloseError{Code: code, Reason: string(payload[2:])}
	}
	return nil
}

// mayBeSent reports whether a close frame may have the code: one of RFC 6455, 7.4.1, one registered since (1012 to 1014,
// which gobwas/ws does not know), or one for libraries and applications (7.4.2).
func mayBeSent(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}

// answer sends a close frame with the payload unless one has been sent, behind which none may follow.
func (c *rawConn) answer(payload []byte) {
	if !c.closing.Load() {
		_ = c.send(ws.NewCloseFrame(payload)) // it may have gone
	}
}

// refuse ends the connection because of what the peer did.
func (c *rawConn) refuse(code int, reason string) error {
	reason = reason[:min(len(reason), 123)]
	c.answer(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
	_ = c.finish() // a reset would overtake the close frame
	return &ownClose{code, reason}
}

func (c *rawConn) send(f ws.Frame) error {
	c.write.Lock()
	defer c.write.Unlock()
	if f.Header.OpCode == ws.OpClose {
		c.closing.Store(true)
	}
	return ws.WriteFrame(c.conn, f)
}

// peek waits for n bytes, and does what is due in the meantime.
func (c *rawConn) peek(n int) ([]byte, error) {
	for {
		if err := c.due(); err != nil {
			return nil, err
		}
		c.conn.SetReadDeadline(c.nextDue())
		b, err := c.r.Peek(n)
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// due does what is due now.
func (c *rawConn) due() error {
	now := time.Now()
	for len(c.pongs) > 0 && !c.pongs[0].due.After(now) {
		if err := c.send(ws.NewPongFrame(c.pongs[0].payload)); err != nil {
			return err
		}
		c.pongs = c.pongs[1:]
	}
	for i := 0; i < len(c.steps); i++ {
		s := c.steps[i]
		if c.bytes < s.AfterBytes || c.messages < s.AfterMessages || now.Sub(c.began) < s.AfterTime {
			continue
		}
		c.steps = append(c.steps[:i:i], c.steps[i+1:]...)
		c.fired(s)
		if err := c.do(s.Fault); err != nil {
			return err
		}
		i, now = -1, time.Now() // a stall takes time, in which others may have happened
	}
	return nil
}

// nextDue is when something will be due, zero for never.
func (c *rawConn) nextDue() (next time.Time) {
	for _, s := range c.steps {
		if at := c.began.Add(s.AfterTime); s.AfterTime > 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if len(c.pongs) > 0 && (next.IsZero() || c.pongs[0].due.Before(next)) {
		next = c.pongs[0].due
	}
	return next
}

// rawMessage reads the message that NextMessage has found.
type rawMessage struct{ c *rawConn }

func (m rawMessage) Read(p []byte) (int, error) {
	c := m.c
	for c.left == 0 {
		if c.inMessage && c.frame.Fin {
			c.inMessage = false
			c.messages++
		}
		if !c.inMessage {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	return c.payload(p)
}

// payload reads of the frame, no further than to where a step is due.
func (c *rawConn) payload(p []byte) (int, error) {
	if _, err := c.peek(1); err != nil {
		return 0, err
	}
	most := min(int64(len(p)), c.left, int64(c.r.Buffered()))
	for _, s := range c.steps {
		if s.AfterBytes > c.bytes {
			most = min(most, s.AfterBytes-c.bytes)
		}
	}
	if c.maxMessage > 0 && c.size+most > c.maxMessage {
		most = c.maxMessage - c.size
		if most == 0 {
			text := fmt.Sprintf("message of more than %d bytes", c.maxMessage)
			_ = c.refuse(codeTooBig, text)
			return 0, fmt.Errorf("%w: more than %d bytes", wsconn.ErrTooBig, c.maxMessage)
		}
	}
	if c.rate > 0 {
		most = min(most, max(1, c.rate/int64(time.Second/slowTick)))
	}
	n, err := c.r.Read(p[:most])
	ws.Cipher(p[:n], c.frame.Mask, c.masked)
	c.masked += n
	c.left -= int64(n)
	c.size += int64(n)
	c.bytes += int64(n)
	if err == nil && c.rate > 0 {
		c.charge(n, time.Now())
		if c.pause(time.Until(c.rated)) {
			c.rate = 0 // the server ends, and what the peer sends until it answers is received
		}
	}
	return n, err
}

// charge takes down at c.rate that n bytes have been read now. What a quiet time would have allowed is lost, but for
// slowTick, which makes up for timers that are late.
func (c *rawConn) charge(n int, now time.Time) {
	if credit := now.Add(-slowTick); c.rated.Before(credit) {
		c.rated = credit
	}
	c.rated = c.rated.Add(time.Duration(n) * time.Second / time.Duration(c.rate))
}

// pause waits, and reports whether the connection was stopped meanwhile.
func (c *rawConn) pause(d time.Duration) (stopped bool) {
	if d <= 0 {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-c.stop:
		return true
	}
}

// Close sends a close frame and ends the connection, from the reading goroutine.
func (c *rawConn) Close(_ context.Context, code int, reason string) error {
	c.sendClose(code, reason)
	return c.finish()
}

// SendClose sends a close frame and ends what waits on purpose. The reading goroutine goes on until the answer.
func (c *rawConn) SendClose(code int, reason string) {
	c.sendClose(code, reason)
	c.halt()
}

func (c *rawConn) sendClose(code int, reason string) {
	c.conn.SetWriteDeadline(time.Now().Add(closePatience)) // a flood may be on its way, to a peer that does not read
	c.answer(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

// halt ends what waits on purpose.
func (c *rawConn) halt() {
	c.halting.Lock()
	defer c.halting.Unlock()
	if !isClosed(c.stop) {
		close(c.stop)
	}
}

// CloseNow ends the connection and returns when nothing of it is left but the reading goroutine, which ends.
func (c *rawConn) CloseNow() {
	c.halt()
	c.conn.Close()
	c.flood.Wait()
}
