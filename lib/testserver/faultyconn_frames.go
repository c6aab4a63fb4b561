package testserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// nextDataFrame reads up to the payload of the next data frame, and handles the control frames in front of it.
func (c *faultyConn) nextDataFrame() error {
	for {
		if err := c.readHeader(); err != nil {
			return err
		}
		if !c.frame.Control() {
			c.inMessage = true
			return nil
		}
		if err := c.handleControl(); err != nil {
			return err
		}
	}
}

func (c *faultyConn) readHeader() error {
	head, err := c.peek(2)
	if err != nil {
		return err
	}
	if head, err = c.peek(wsconn.HeaderSize(head)); err != nil {
		return err
	}
	h, err := wsconn.ParseHeader(head)
	if err == nil {
		err = h.Check(true, c.inMessage)
	}
	if err != nil {
		return c.failConnection(wsconn.StatusProtocolError, err.Error())
	}
	_, _ = c.r.Discard(len(head)) // peek has buffered them
	c.frame, c.left = h, h.Length
	return nil
}

// handleControl handles a control frame whose header has been read.
func (c *faultyConn) handleControl() error {
	payload := make([]byte, c.left)
	if _, err := c.peek(len(payload)); err != nil {
		return err
	}
	_, _ = io.ReadFull(c.r, payload) // peek has buffered them
	c.left = 0
	unmask(payload, c.frame.Key, 0)
	switch c.frame.Opcode {
	case wsconn.OpPing:
		if c.pongDelay > 0 {
			c.latePongs = append(c.latePongs, latePong{time.Now().Add(c.pongDelay), payload})
		} else if !c.ignorePings {
			return c.send(wsconn.OpPong, payload)
		}
	case wsconn.OpClose:
		if len(payload) == 0 {
			c.sendCloseOnce(nil)
			return &wsconn.CloseError{Code: wsconn.StatusNoStatusRcvd}
		}
		if len(payload) == 1 {
			return c.failConnection(wsconn.StatusProtocolError, "a close frame of one byte")
		}
		code := int(binary.BigEndian.Uint16(payload))
		switch {
		case !wsconn.ValidCloseCode(code):
			return c.failConnection(wsconn.StatusProtocolError, fmt.Sprintf("a close frame with the code %d", code))
		case !utf8.Valid(payload[2:]):
			return c.failConnection(wsconn.StatusInvalidFramePayloadData, wsconn.ErrInvalidReason.Error())
		}
		c.sendCloseOnce(payload)
		return &wsconn.CloseError{Code: code, Reason: string(payload[2:])}
	}
	return nil
}

// unmask removes the mask from the bytes at an offset of the payload (RFC 6455, 5.3).
func unmask(p []byte, key [4]byte, offset int64) {
	for i := range p {
		p[i] ^= key[(offset+int64(i))%4]
	}
}

// frameOf returns a whole unmasked frame.
func frameOf(opcode byte, payload []byte) []byte {
	h := wsconn.Header{Final: true, Opcode: opcode, Length: int64(len(payload))}
	return append(wsconn.AppendHeader(nil, h), payload...)
}

// closePayload returns the payload of a close frame (RFC 6455, 5.5.1).
func closePayload(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

func (c *faultyConn) send(opcode byte, payload []byte) error {
	if opcode == wsconn.OpClose {
		c.sentClose.Store(true)
	}
	return c.write(frameOf(opcode, payload))
}

func (c *faultyConn) write(frame []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	_, err := c.conn.Write(frame)
	return err
}

// sendCloseOnce sends a close frame with the payload unless one was sent: no frame may follow a close frame.
func (c *faultyConn) sendCloseOnce(payload []byte) {
	if !c.sentClose.Load() {
		_ = c.send(wsconn.OpClose, payload) // the peer may have gone
	}
}

// failConnection ends the connection because of what the peer did (RFC 6455, 7.1.7).
func (c *faultyConn) failConnection(code int, reason string) error {
	reason = reason[:min(len(reason), 123)]
	c.sendCloseOnce(closePayload(code, reason))
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
	c.sendCloseOnce(closePayload(code, reason))
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
