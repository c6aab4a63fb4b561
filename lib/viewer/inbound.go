package viewer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	// maxInbound is the longest message, in bytes, that is taken from a viewer.
	maxInbound = 64 << 10
	// inboundRate is how many bytes a second are, and inboundBurst how many at once. Each frame counts as frameCost
	// bytes more.
	inboundRate  = 16 << 10
	inboundBurst = 2 * maxInbound
	frameCost    = 64
)

// protocolError says why a viewer's connection is closed: with which code, and in words.
type protocolError struct {
	code   int
	reason string
}

func (e *protocolError) Error() string { return e.reason }

var (
	errCloseFrame = &protocolError{wsconn.StatusProtocolError, "a close frame without a valid code"}
	errTooBig     = &protocolError{wsconn.StatusMessageTooBig, "a viewer need not send anything"}
	errTooMuch    = &protocolError{wsconn.StatusPolicyViolation, "a viewer need not send so much"}
)

// frameReader reads the frames of a viewer. What it says is thrown away, but for control frames.
type frameReader struct {
	v          *viewer
	r          *bufio.Reader
	fragmented bool  // a message goes on with the next data frame
	message    int64 // its bytes so far
	budget     float64
	at         time.Time // of budget
}

// read reads until the connection ends, or a close frame was taken. It returns why it has to be closed, if it has.
func (in *frameReader) read() error {
	in.budget, in.at = inboundBurst, time.Now()
	for {
		h, err := in.header()
		if err != nil {
			return err
		}
		if !in.spend(float64(h.Length) + frameCost) { // as a float64 it cannot overflow
			return errTooMuch
		}
		if !h.Control() {
			if err := in.data(h); err != nil {
				return err
			}
			continue
		}
		payload, err := in.control(h)
		if err != nil {
			return err
		}
		switch h.Opcode {
		case wsconn.OpPing:
			in.v.answer(payload)
		case wsconn.OpPong:
			in.v.confirm(payload)
		case wsconn.OpClose:
			code := wsconn.StatusNoStatusRcvd
			if len(payload) >= 2 {
				code = int(binary.BigEndian.Uint16(payload))
			}
			if len(payload) == 1 || len(payload) > 1 && !wsconn.ValidCloseCode(code) {
				return errCloseFrame
			}
			in.v.closed(code)
			return nil
		}
	}
}

// header reads a frame's header, and checks it.
func (in *frameReader) header() (wsconn.Header, error) {
	h, err := wsconn.ReadHeader(in.r)
	if err != nil && err != wsconn.ErrFrameLength {
		return h, err
	}
	if err == nil {
		err = h.Check(true, in.fragmented)
	}
	if err != nil {
		return h, &protocolError{wsconn.StatusProtocolError, err.Error()}
	}
	return h, nil
}

// data throws the payload of a data frame away.
func (in *frameReader) data(h wsconn.Header) error {
	if !in.fragmented {
		in.message = 0
	}
	in.fragmented = !h.Final
	if in.message += h.Length; in.message > maxInbound {
		return errTooBig
	}
	_, err := in.r.Discard(int(h.Length))
	return err
}

// control reads the payload of a control frame.
func (in *frameReader) control(h wsconn.Header) ([]byte, error) {
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(in.r, payload); err != nil {
		return nil, err
	}
	for i := range payload {
		payload[i] ^= h.Key[i%4]
	}
	return payload, nil
}

// spend takes n bytes out of what the viewer may send for now. It returns false when that is not enough.
func (in *frameReader) spend(n float64) bool {
	now := time.Now()
	in.budget = min(inboundBurst, in.budget+inboundRate*now.Sub(in.at).Seconds())
	in.at = now
	in.budget -= n
	return in.budget >= 0
}

// answer sends a pong.
func (v *viewer) answer(payload []byte) {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	v.pong = appendControl(nil, wsconn.OpPong, payload)
	v.startPump()
}

// confirm takes a pong. Only one that answers the ping under way says something.
func (v *viewer) confirm(payload []byte) {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	if v.pingOut && len(payload) == 8 && int64(binary.BigEndian.Uint64(payload)) == v.pingPos {
		v.pingOut = false
		v.confirmed = max(v.confirmed, v.pingTaken)
	}
}

// closed takes the viewer's close frame: it answers it, unless it is the answer to one of ours, which confirms
// everything that was sent before.
func (v *viewer) closed(code int) {
	v.h.mu.Lock()
	v.answered.Store(true)
	bothSent := v.closing != nil && v.closing.sent && !v.pumping
	switch {
	case v.closing == nil:
		v.endStream(stream.Lost)
		v.close(answerCode(code), "")
	case v.closing.sent && code == v.closing.code:
		v.confirmed = v.taken()
	}
	v.h.mu.Unlock()
	if bothSent { // else the pump does so when it has sent ours
		v.endWriting()
	}
}

// answerCode is the code that answers a close frame with the given one.
func answerCode(code int) int {
	if code == wsconn.StatusNoStatusRcvd {
		return wsconn.StatusNormalClosure
	}
	return code
}

// serve serves a viewer that has joined until its connection has ended. It returns why, nil if the viewer said so.
func (v *viewer) serve(r *bufio.Reader) error {
	in := &frameReader{v: v, r: r}
	err := in.read()
	var wrong *protocolError
	if errors.As(err, &wrong) {
		v.h.mu.Lock()
		v.endStream(stream.Lost)
		v.close(wrong.code, wrong.reason)
		v.h.mu.Unlock()
	}
	if err == nil || wrong != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r, maxInbound)) // until the end of the connection, or of closeTimeout
	}
	v.h.leave(v)
	return err
}
