package wsconn

//lint:file-ignore SA1019 This import path is the project's choice; the code goes on as github.com/coder/websocket.

import (
	"context"
	"errors"
	"fmt"
	"io"

	"nhooyr.io/websocket"
)

// ErrTooBig says that a message from the peer was longer than AcceptOptions.MaxMessage. The peer is told by close code
// 1009.
var ErrTooBig = errors.New("message too big")

// Discard starts reading and throws away whatever the peer sends, of any size, until the connection ends (see Done and
// Err). Pings are answered and pongs are noticed. It returns at once; NextMessage must not be used with it.
func (c *Conn) Discard() {
	if c.discarding.Swap(true) {
		return
	}
	c.start(func() {
		select {
		case c.readTurn <- struct{}{}:
			defer func() { <-c.readTurn }()
			c.discard(context.Background())
		case <-c.dead:
		}
	})
}

// discard reads until the connection ends. The caller has the turn to read.
func (c *Conn) discard(ctx context.Context) {
	err := c.message.skip()
	for err == nil {
		var r io.Reader
		if _, r, err = c.ws.Reader(ctx); err == nil {
			_, err = io.Copy(io.Discard, r)
		}
	}
	c.readFailed(ctx, err)
}

// NextMessage waits for a message and returns a reader for it, valid until the next call. What is left of the message
// before is thrown away. The reader ends with io.EOF only at the end of a whole message; it fails with ErrTooBig
// (wrapped) when it has given MaxMessage bytes and there are more. Pings are answered and pongs are noticed while
// NextMessage or the reader waits, and only then. ctx also bounds the reader: when it ends while one of them waits, the
// connection has ended.
func (c *Conn) NextMessage(ctx context.Context) (isText bool, r io.Reader, err error) {
	if err := c.takeRead(ctx); err != nil {
		return false, nil, err
	}
	defer c.giveRead()
	if err := c.message.skip(); err != nil {
		return false, nil, c.readFailed(ctx, err)
	}
	typ, body, err := c.ws.Reader(ctx)
	if err != nil {
		return false, nil, c.readFailed(ctx, err)
	}
	c.message = message{conn: c, ctx: ctx, body: body, left: c.maxMessage}
	return typ == websocket.MessageText, &c.message, nil
}

func (c *Conn) takeRead(ctx context.Context) error { return c.take(ctx, c.readTurn, "read") }

func (c *Conn) giveRead() { <-c.readTurn }

func (c *Conn) readFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return c.fail(fmt.Errorf("read message: %w", context.Cause(ctx)))
	}
	if errors.Is(err, ErrFrameLength) {
		c.sock.sendClose(closeFrame(StatusProtocolError, ErrFrameLength.Error(), c.client))
	}
	return c.fail(c.readError(err))
}

// message reads one message. It is protected by its connection's turn to read.
type message struct {
	conn *Conn
	ctx  context.Context
	body io.Reader // nil when there is no more of it
	left int64     // bytes that may still come, if the connection has a limit
}

func (m *message) Read(p []byte) (int, error) {
	c := m.conn
	if err := c.takeRead(m.ctx); err != nil {
		return 0, err
	}
	defer c.giveRead()
	if m.body == nil {
		return 0, io.EOF
	}
	limited := c.maxMessage > 0
	if limited && int64(len(p)) > m.left+1 {
		p = p[:m.left+1]
	}
	n, err := m.body.Read(p)
	if limited && int64(n) > m.left {
		n = int(m.left)
		text := fmt.Sprintf("more than %d bytes", c.maxMessage)
		c.sock.sendClose(closeFrame(StatusMessageTooBig, "message of "+text, c.client))
		err = c.fail(fmt.Errorf("%w: %s", ErrTooBig, text))
	} else if err != nil && err != io.EOF {
		// nhooyr unmasks only what it has read whole: what a connection that broke has left of a frame is noise.
		n = 0
		err = c.readFailed(m.ctx, err)
	}
	m.left -= int64(n)
	if err != nil {
		m.body = nil
	}
	return n, err
}

// skip reads to the end of the message.
func (m *message) skip() error {
	if m.body == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, m.body)
	m.body = nil
	return err
}
