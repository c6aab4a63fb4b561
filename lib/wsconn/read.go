package wsconn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// ErrTooBig says that a message from the peer was longer than AcceptOptions.MaxMessage. The peer gets close code
// StatusMessageTooBig.
var ErrTooBig = errors.New("message too big")

// Discard starts to read and to throw away whatever the peer sends, of any size, until the connection ends (see Done
// and Err). It answers pings and notices pongs. It returns at once. NextMessage must not be used with it.
func (c *Conn) Discard() {
	if c.discarding.Swap(true) {
		return
	}
	c.start(func() {
		select {
		case c.readSem <- struct{}{}:
			defer func() { <-c.readSem }()
			c.discard(context.Background())
		case <-c.done:
		}
	})
}

// discard reads until the connection ends. The caller holds readSem.
func (c *Conn) discard(ctx context.Context) {
	err := c.reads.arm(ctx)
	defer c.reads.disarm()
	for err == nil {
		if err = c.in.skip(); err == nil {
			err = c.nextDataFrame()
		}
	}
	_ = c.readFailed(ctx, err) // Err has it
}

// NextMessage waits for a message and returns a reader for it, valid until the next call. It throws away what is left
// of the message before. The reader returns bytes as they arrive. It ends with io.EOF only at the end of a whole
// message, and fails with ErrTooBig (wrapped) when it has returned MaxMessage bytes and there are more. Pings are
// answered and pongs are noticed while NextMessage or the reader waits, and only then. ctx also bounds the reader: when
// it ends while one of them waits, the connection has ended.
func (c *Conn) NextMessage(ctx context.Context) (isText bool, r io.Reader, err error) {
	if err := c.acquireRead(ctx); err != nil {
		return false, nil, err
	}
	defer c.releaseRead()
	for more := true; more; {
		more = c.in.fragmented
		err := c.in.skip()
		if err == nil {
			err = c.nextDataFrame()
		}
		if err != nil {
			return false, nil, c.readFailed(ctx, err)
		}
	}
	c.message = message{conn: c, ctx: ctx, rest: c.maxMessage}
	return c.in.frame.Opcode == OpText, &c.message, nil
}

// acquireRead takes the turn to read.
func (c *Conn) acquireRead(ctx context.Context) error {
	if err := c.acquire(ctx, c.readSem, "read"); err != nil {
		return err
	}
	err := c.Err()
	if err == nil {
		if cause := c.reads.arm(ctx); cause != nil {
			err = c.fail(fmt.Errorf("read message: %w", cause))
		}
	}
	if err != nil {
		c.releaseRead()
	}
	return err
}

func (c *Conn) releaseRead() {
	c.reads.disarm()
	<-c.readSem
}

// nextDataFrame reads up to the payload of the next data frame, and handles the control frames before it. The payload
// of the frame before must have been read.
func (c *Conn) nextDataFrame() error {
	for {
		if err := c.in.next(); err != nil {
			return err
		}
		c.received.Add(1)
		if !c.in.frame.Control() {
			return nil
		}
		if err := c.control(); err != nil {
			return err
		}
	}
}

// control reads and handles a control frame, whose header has been read.
func (c *Conn) control() error {
	var buf [MaxControlPayload]byte
	payload, opcode := buf[:c.in.left], c.in.frame.Opcode
	for n := 0; c.in.left > 0; {
		m, err := c.in.read(payload[n:])
		if err != nil {
			return err
		}
		n += m
	}
	switch opcode {
	case OpPing:
		c.answerPing(payload)
	case OpPong:
		c.gotPong(payload)
	case OpClose:
		return c.peerClosed(payload)
	}
	return nil
}

// ErrInvalidReason says that the peer's close frame has a reason that is not UTF-8 (RFC 6455, 8.1). The peer gets close
// code StatusInvalidFramePayloadData.
var ErrInvalidReason = errors.New("a close frame whose reason is not UTF-8")

// peerClosed answers the peer's close frame (RFC 6455, 5.5.1) and returns a *CloseError.
func (c *Conn) peerClosed(payload []byte) error {
	if len(payload) == 0 {
		c.out.sendClose(nil)
		return &CloseError{Code: StatusNoStatusRcvd}
	}
	if len(payload) == 1 {
		return fmt.Errorf("%w: a close frame of one byte", errProtocol)
	}
	code, reason := int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	switch {
	case !ValidCloseCode(code):
		return fmt.Errorf("%w: a close frame with the code %d", errProtocol, code)
	case !utf8.ValidString(reason):
		return ErrInvalidReason
	}
	c.out.sendClose(payload)
	if c.client { // a server's words are for the log, and may repeat what the client sent
		reason = excerpt(c.secrets.scrub(reason))
	}
	return &CloseError{Code: code, Reason: reason}
}

// readFailed ends the connection because of a failed read, and returns the reason that counts.
func (c *Conn) readFailed(ctx context.Context, err error) error {
	var peerClosed *CloseError
	switch {
	case errors.As(err, &peerClosed):
		return c.fail(peerClosed)
	case ctx.Err() != nil:
		return c.fail(fmt.Errorf("read message: %w", context.Cause(ctx)))
	case errors.Is(err, errProtocol):
		c.out.sendClose(closePayload(StatusProtocolError, err.Error()))
	case errors.Is(err, ErrInvalidReason):
		c.out.sendClose(closePayload(StatusInvalidFramePayloadData, err.Error()))
	}
	return c.fail(readError(err))
}

// message reads one message. It is protected by its connection's readSem.
type message struct {
	conn *Conn
	ctx  context.Context
	rest int64 // bytes that may still come, if the connection has a limit
	err  error // why there is no more
}

func (m *message) Read(p []byte) (int, error) {
	c := m.conn
	if err := c.acquireRead(m.ctx); err != nil {
		return 0, err
	}
	defer c.releaseRead()
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.read(p)
	m.err = err
	c.pongs.given(n)
	return n, err
}

func (m *message) read(p []byte) (int, error) {
	c := m.conn
	for c.in.left == 0 {
		if !c.in.fragmented {
			return 0, io.EOF
		}
		if err := c.nextDataFrame(); err != nil {
			return 0, c.readFailed(m.ctx, err)
		}
	}
	if c.maxMessage > 0 {
		if m.rest == 0 {
			text := fmt.Sprintf("more than %d bytes", c.maxMessage)
			c.out.sendClose(closePayload(StatusMessageTooBig, "message of "+text))
			return 0, c.fail(fmt.Errorf("%w: %s", ErrTooBig, text))
		}
		p = p[:min(int64(len(p)), m.rest)]
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.in.read(p)
	m.rest -= int64(n)
	if err != nil {
		err = c.readFailed(m.ctx, err)
	}
	return n, err
}
