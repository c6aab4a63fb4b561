package wsconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Opcodes of RFC 6455, 5.2.
const (
	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8 // this and the following are control frames
	OpPing         = 0x9
	OpPong         = 0xA
)

const (
	// MaxHeader is the size in bytes of the longest frame header (RFC 6455, 5.2).
	MaxHeader = 14
	// MaxControlPayload is the size in bytes of the longest payload of a control frame (RFC 6455, 5.5).
	MaxControlPayload = 125
)

// ErrFrameLength says that the length of a frame has its most significant bit set (RFC 6455, 5.2).
var ErrFrameLength = errors.New("a frame's length has its most significant bit set")

// Header is the header of a frame (RFC 6455, 5.2).
type Header struct {
	Final    bool
	Reserved byte // the bits RSV1 to RSV3 where they stand in the first byte (0x40, 0x20, 0x10)
	Opcode   byte
	Masked   bool
	Key      [4]byte // of the mask; zeros unless Masked
	Length   int64   // bytes of payload
}

// Control reports whether the frame is a control frame.
func (h *Header) Control() bool { return h.Opcode&0x8 != 0 }

// HeaderSize returns the size in bytes of the frame header that begins with the first two bytes of p: 2 to MaxHeader.
func HeaderSize(p []byte) int {
	n := 2
	switch p[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if p[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// ParseHeader parses the frame header at the beginning of p, which must hold all of it (see HeaderSize). The only error
// is ErrFrameLength; Check says whether the frame is allowed.
func ParseHeader(p []byte) (Header, error) {
	h := Header{Final: p[0]&0x80 != 0, Reserved: p[0] & 0x70, Opcode: p[0] & 0x0f, Masked: p[1]&0x80 != 0}
	size := HeaderSize(p)
	switch n := p[1] & 0x7f; n {
	case 126:
		h.Length = int64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		h.Length = int64(binary.BigEndian.Uint64(p[2:]))
	default:
		h.Length = int64(n)
	}
	if h.Length < 0 {
		return h, ErrFrameLength
	}
	if h.Masked {
		copy(h.Key[:], p[size-4:size])
	}
	return h, nil
}

// ReadHeader reads a frame header from r, whose buffer must have room for MaxHeader bytes. Its errors are those of r,
// and ErrFrameLength.
func ReadHeader(r *bufio.Reader) (Header, error) {
	p, err := r.Peek(2)
	if err != nil {
		return Header{}, err
	}
	size := HeaderSize(p)
	if p, err = r.Peek(size); err != nil {
		return Header{}, err
	}
	h, err := ParseHeader(p)
	_, _ = r.Discard(size) // it is in the buffer
	return h, err
}

// Check returns why RFC 6455 forbids a frame with this header. fromClient says who sent it; inMessage says that the
// message before has not ended, so that a continuation frame must follow.
func (h *Header) Check(fromClient, inMessage bool) error {
	switch {
	case h.Reserved != 0:
		return errors.New("a frame with a reserved bit")
	case h.Masked && !fromClient:
		return errors.New("a masked frame from a server")
	case !h.Masked && fromClient:
		return errors.New("an unmasked frame from a client")
	case h.Opcode > OpBinary && h.Opcode < OpClose || h.Opcode > OpPong:
		return fmt.Errorf("a frame with the reserved opcode %#x", h.Opcode)
	case h.Control() && !h.Final:
		return errors.New("a fragmented control frame")
	case h.Control() && h.Length > MaxControlPayload:
		return fmt.Errorf("a control frame of %d bytes", h.Length)
	case h.Opcode == OpContinuation && !inMessage:
		return errors.New("a continuation frame outside a message")
	case !h.Control() && h.Opcode != OpContinuation && inMessage:
		return errors.New("a new message inside another")
	}
	return nil
}

// AppendHeader appends h, with the shortest form of its length.
func AppendHeader(dst []byte, h Header) []byte {
	first, mask := h.Reserved|h.Opcode, byte(0)
	if h.Final {
		first |= 0x80
	}
	if h.Masked {
		mask = 0x80
	}
	switch n := h.Length; {
	case n < 126:
		dst = append(dst, first, mask|byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, mask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, mask|127), uint64(n))
	}
	if h.Masked {
		dst = append(dst, h.Key[:]...)
	}
	return dst
}
