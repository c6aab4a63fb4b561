package testserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// nextDataFrame reads up to the payload of the next data frame, and handles the control frames in front of it.
func (c *faultyConn) nextDataFrame() error {
	for {
		if err := c.readHeader(); err != nil {
			return err
		}
		switch op := c.frame.OpCode; {
		case op == ws.OpContinuation:
			return nil
		case op.IsData():
			c.inMessage = true
			return nil
		default:
			if err := c.handleControl(op); err != nil {
				return err
			}
		}
	}
}

func (c *faultyConn) readHeader() error {
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
		return c.failConnection(codeProtocol, err.Error())
	}
	c.frame, c.left, c.unmasked = h, h.Length, 0
	return nil
}

// handleControl handles a control frame whose header has been read.
func (c *faultyConn) handleControl(op ws.OpCode) error {
	payload := make([]byte, c.left)
	if _, err := c.peek(len(payload)); err != nil {
		return err
	}
	_, _ = io.ReadFull(c.r, payload) // peek has buffered them
	c.left = 0
	ws.Cipher(payload, c.frame.Mask, 0)
	switch op {
	case ws.OpPing:
		if c.pongDelay > 0 {
			c.latePongs = append(c.latePongs, latePong{time.Now().Add(c.pongDelay), payload})
		} else if !c.ignorePings {
			return c.send(ws.NewPongFrame(payload))
		}
	case ws.OpClose:
		if len(payload) == 0 {
			c.sendCloseOnce(nil)
			return &wsconn.CloseError{Code: codeNoStatus}
		}
		if len(payload) < 2 || !utf8.Valid(payload[2:]) {
			return c.failConnection(codeProtocol, "malformed close frame")
		}
		code := int(binary.BigEndian.Uint16(payload))
		if !wsconn.ValidCloseCode(code) {
			return c.failConnection(codeProtocol, fmt.Sprintf("close code %d, which may not be sent", code))
		}
		c.sendCloseOnce(payload)
		return &wsconn.CloseError{Code: code, Reason: string(payload[2:])}
	}
	return nil
}

func (c *faultyConn) send(f ws.Frame) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if f.Header.OpCode == ws.OpClose {
		c.sentClose.Store(true)
	}
	return ws.WriteFrame(c.conn, f)
}

// sendCloseOnce sends a close frame with the payload unless one was sent: no frame may follow a close frame.
func (c *faultyConn) sendCloseOnce(payload []byte) {
	if !c.sentClose.Load() {
		_ = c.send(ws.NewCloseFrame(payload)) // the peer may have gone
	}
}

// failConnection ends the connection because of what the peer did (RFC 6455, 7.1.7).
func (c *faultyConn) failConnection(code int, reason string) error {
	reason = reason[:min(len(reason), 123)]
	c.sendCloseOnce(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
	_ = c.closeTCP() // in order: a reset would overtake the close frame
	return &closedByServer{code, reason}
}

// Close sends a close frame and ends the connection, from the reading goroutine.
func (c *faultyConn) Close(_ context.Context, code int, reason string) error {
	c.sendClose(code, reason)
	return c.closeTCP()
}

// SendClose sends a close frame and ends the faults that wait. The reading goroutine goes on until the answer.
func (c *faultyConn) SendClose(code int, reason string) {
	c.sendClose(code, reason)
	c.stopWaiting()
}

func (c *faultyConn) sendClose(code int, reason string) {
	c.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // a flood may be blocked by a peer that does not read
	c.sendCloseOnce(ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

// stopWaiting ends the faults that wait.
func (c *faultyConn) stopWaiting() {
	c.stopMu.Lock()
	defer c.stopMu.Unlock()
	if !isClosed(c.stop) {
		close(c.stop)
	}
}

// CloseNow closes the TCP connection, which ends the reading goroutine, and returns when no flood is left.
func (c *faultyConn) CloseNow() {
	c.stopWaiting()
	c.conn.Close()
	c.flood.Wait()
}
