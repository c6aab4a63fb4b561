package testserver

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// connectionFault happens on a connection, in the goroutine that reads it. An error ends the connection.
type connectionFault interface {
	FaultKind
	inject(c *faultyConn) error
}

var errNegative = errors.New("a number is negative")

func notNegative(d time.Duration) error {
	if d < 0 {
		return errNegative
	}
	return nil
}

// within checks a number for which 0 means the default.
func within(name string, n, low, high int) error {
	if n != 0 && (n < low || n > high) {
		return fmt.Errorf("the %s is not between %d and %d", name, low, high)
	}
	return nil
}

// AcceptThenClose closes the TCP connection without a close frame.
type AcceptThenClose struct{}

// Name returns "accept-then-close".
func (AcceptThenClose) Name() string { return "accept-then-close" }

func (AcceptThenClose) inject(c *faultyConn) error { return c.closeTCP() }

// Reset resets the TCP connection.
type Reset struct{}

// Name returns "reset".
func (Reset) Name() string { return "reset" }

func (Reset) inject(c *faultyConn) error { return c.reset() }

// CloseFrame closes the connection with a close frame, as RFC 6455 has it.
type CloseFrame struct {
	Code   int    // up to 65535, also one that must not be sent; 0 means 1001
	Reason string // at most 123 bytes
}

// Name returns "close".
func (CloseFrame) Name() string { return "close" }

func (f CloseFrame) check() error {
	if len(f.Reason) > 123 {
		return errors.New("the reason is longer than 123 bytes (RFC 6455, 5.5)")
	}
	return within("code", f.Code, 0, 65535)
}

func (f CloseFrame) inject(c *faultyConn) error {
	code := cmp.Or(f.Code, wsconn.StatusGoingAway)
	if err := c.send(wsconn.OpClose, closePayload(code, f.Reason)); err != nil {
		return err
	}
	return c.awaitClose(&closedByServer{code, f.Reason})
}

// CloseThenSilent sends a close frame, then reads but sends nothing, and keeps the TCP connection open.
type CloseThenSilent struct {
	Code   int           // as that of CloseFrame
	Reason string        // as that of CloseFrame
	For    time.Duration // 0 means 10 s
}

// Name returns "close-then-silent".
func (CloseThenSilent) Name() string { return "close-then-silent" }

func (f CloseThenSilent) check() error {
	if f.For < 0 {
		return errNegative
	}
	return CloseFrame{f.Code, f.Reason}.check()
}

func (f CloseThenSilent) inject(c *faultyConn) error {
	code := cmp.Or(f.Code, wsconn.StatusGoingAway)
	if err := c.send(wsconn.OpClose, closePayload(code, f.Reason)); err != nil {
		return err
	}
	d := cmp.Or(f.For, 10*time.Second)
	end := time.Now().Add(d)
	drain(c.conn, c.r, d, c.stop)
	c.pause(time.Until(end)) // the peer may have closed its half; this one stays open
	return &closedByServer{code, f.Reason}
}

// Stall reads nothing for a while, then goes on.
type Stall struct {
	For time.Duration // 0: until the peer has gone
}

// Name returns "stall".
func (Stall) Name() string { return "stall" }

func (f Stall) check() error { return notNegative(f.For) }

func (f Stall) inject(c *faultyConn) error { return c.stall(f.For) }

// Slow reads at a limited rate from now on.
type Slow struct {
	Rate int64 // bytes a second, above 0
}

// Name returns "slow".
func (Slow) Name() string { return "slow" }

func (f Slow) check() error {
	if f.Rate <= 0 {
		return errors.New("the rate is not above 0")
	}
	return nil
}

func (f Slow) inject(c *faultyConn) error {
	if t := tcpOf(c.conn); t != nil {
		_ = t.SetReadBuffer(slowBuffer) // without it the fault only takes longer to be felt
	}
	c.rate, c.paidUntil = f.Rate, time.Now()
	return nil
}

// NoPong answers no ping from now on.
type NoPong struct{}

// Name returns "no-pong".
func (NoPong) Name() string { return "no-pong" }

func (NoPong) inject(c *faultyConn) error {
	c.ignorePings = true
	return nil
}

// LatePong answers pings late from now on.
type LatePong struct {
	By time.Duration // 0 means 2 s
}

// Name returns "late-pong".
func (LatePong) Name() string { return "late-pong" }

func (f LatePong) check() error { return notNegative(f.By) }

func (f LatePong) inject(c *faultyConn) error {
	c.pongDelay = cmp.Or(f.By, 2*time.Second)
	return nil
}

// HalfOpen neither reads nor writes, keeps the TCP connection open, and resets it in the end.
type HalfOpen struct {
	For time.Duration // 0: until the peer has gone
}

// Name returns "half-open".
func (HalfOpen) Name() string { return "half-open" }

func (f HalfOpen) check() error { return notNegative(f.For) }

func (f HalfOpen) inject(c *faultyConn) error {
	var until time.Time
	if f.For > 0 {
		until = time.Now().Add(f.For)
	}
	c.hold(until, true)
	return c.reset()
}

// SendText sends a text message.
type SendText struct{}

// Name returns "send-text".
func (SendText) Name() string { return "send-text" }

func (SendText) inject(c *faultyConn) error {
	return c.send(wsconn.OpText, []byte("a text message, on purpose"))
}

// SendFlood sends binary messages as fast as they go.
type SendFlood struct {
	For time.Duration // 0 means 1 s
}

// Name returns "send-flood".
func (SendFlood) Name() string { return "send-flood" }

func (f SendFlood) check() error { return notNegative(f.For) }

func (f SendFlood) inject(c *faultyConn) error {
	c.startFlood(cmp.Or(f.For, time.Second), frameOf(wsconn.OpBinary, make([]byte, floodMessage)))
	return nil
}

// PingFlood sends pings as fast as they go.
type PingFlood struct {
	For time.Duration // 0 means 1 s
}

// Name returns "ping-flood".
func (PingFlood) Name() string { return "ping-flood" }

func (f PingFlood) check() error { return notNegative(f.For) }

func (f PingFlood) inject(c *faultyConn) error {
	c.startFlood(cmp.Or(f.For, time.Second), frameOf(wsconn.OpPing, make([]byte, floodPing)))
	return nil
}

// BigPing sends a ping with more than the 125 bytes that RFC 6455, 5.5, allows.
type BigPing struct {
	Size int // 126 to 1 MiB; 0 means 126
}

// Name returns "big-ping".
func (BigPing) Name() string { return "big-ping" }

func (f BigPing) check() error { return within("size", f.Size, 126, 1<<20) }

func (f BigPing) inject(c *faultyConn) error {
	return c.send(wsconn.OpPing, make([]byte, cmp.Or(f.Size, 126)))
}

// BadFrame sends a binary frame that RFC 6455 forbids.
type BadFrame struct {
	Kind BadFrameKind // "" means ReservedBit
}

// BadFrameKind says what is wrong with a frame.
type BadFrameKind string

// The kinds of BadFrame.
const (
	ReservedBit       BadFrameKind = "rsv"
	UnknownOpcode     BadFrameKind = "opcode"
	MaskedByServer    BadFrameKind = "masked"
	StrayContinuation BadFrameKind = "continuation"
)

// Name returns "bad-frame".
func (BadFrame) Name() string { return "bad-frame" }

func (f BadFrame) check() error {
	switch f.Kind {
	case "", ReservedBit, UnknownOpcode, MaskedByServer, StrayContinuation:
		return nil
	}
	return fmt.Errorf("there is no kind %q", f.Kind)
}

func (f BadFrame) inject(c *faultyConn) error {
	payload := []byte("a bad frame, on purpose")
	h := wsconn.Header{Final: true, Opcode: wsconn.OpBinary, Length: int64(len(payload))}
	switch f.Kind {
	case UnknownOpcode:
		h.Opcode = 0x3
	case MaskedByServer:
		h.Masked = true // a key of zeros changes nothing in the payload
	case StrayContinuation:
		h.Opcode = wsconn.OpContinuation
	default:
		h.Reserved = 0x40
	}
	return c.write(append(wsconn.AppendHeader(nil, h), payload...))
}

// Truncate sends the first half of a frame, then closes the TCP connection.
type Truncate struct{}

// Name returns "truncate".
func (Truncate) Name() string { return "truncate" }

func (Truncate) inject(c *faultyConn) error {
	frame := frameOf(wsconn.OpBinary, make([]byte, 1000))
	if err := c.write(frame[:len(frame)/2]); err != nil {
		return err
	}
	return c.closeTCP()
}
