package wsconn

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
)

// Opcodes of RFC 6455, 5.2, as far as the socket has to tell them apart.
const (
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

const (
	maxHeader      = 14  // bytes of the longest frame header: RFC 6455, 5.2
	maxControl     = 131 // bytes of the longest control frame, header included
	maxCloseReason = 123 // bytes: what a control frame holds, less the code
)

// frameSize parses the header at the start of p and returns the frame's opcode and its length with the header.
// p must hold the whole header.
func frameSize(p []byte) (op byte, size int64) {
	op = p[0] & 0x0f
	size = 2 + int64(p[1]&0x7f)
	switch p[1] & 0x7f {
	case 126:
		size = 4 + int64(binary.BigEndian.Uint16(p[2:]))
	case 127:
		size = 10 + int64(binary.BigEndian.Uint64(p[2:]))
	}
	if p[1]&0x80 != 0 {
		size += 4
	}
	return op, size
}

// headerSize returns the length of the header that starts with these two bytes.
func headerSize(p []byte) int {
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

// maskRun is how many bytes are masked at once. A multiple of four, so that each run begins with the key's first byte.
const maskRun = 1 << 10

// appendMessage appends p as a binary message of one frame, masked when a client sends it (RFC 6455, 5.3).
func appendMessage(dst, p []byte, masked bool) []byte {
	var mask byte
	if masked {
		mask = 0x80
	}
	dst = append(dst, 0x80|opBinary)
	switch n := len(p); {
	case n < 126:
		dst = append(dst, mask|byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(n))
	}
	if !masked {
		return append(dst, p...)
	}
	var key [maskRun]byte
	rand.Read(key[:4])
	dst = append(dst, key[:4]...)
	for have := 4; have < min(len(p), maskRun); have *= 2 {
		copy(key[have:], key[:have])
	}
	at := len(dst)
	dst = slices.Grow(dst, len(p))[:at+len(p)]
	for ; len(p) > 0; at += maskRun {
		n := min(len(p), maskRun)
		subtle.XORBytes(dst[at:], p[:n], key[:])
		p = p[n:]
	}
	return dst
}

// closeFrame returns a close frame, masked when a client sends it (RFC 6455, 5.3). A reason that is too long for a
// control frame is cut at a character.
func closeFrame(code int, reason string, masked bool) []byte {
	if len(reason) > maxCloseReason {
		reason = reason[:maxCloseReason]
		for len(reason) > 0 && !utf8.ValidString(reason) {
			reason = reason[:len(reason)-1]
		}
	}
	f := []byte{0x80 | opClose, byte(2 + len(reason))}
	var key [4]byte
	if masked {
		rand.Read(key[:])
		f[1] |= 0x80
		f = append(f, key[:]...)
	}
	payload := len(f)
	f = binary.BigEndian.AppendUint16(f, uint16(code))
	f = append(f, reason...)
	if masked {
		for i := range f[payload:] {
			f[payload+i] ^= key[i%4]
		}
	}
	return f
}

// ValidCloseCode reports whether an endpoint may put the code into a close frame (RFC 6455, 7.4).
func ValidCloseCode(code int) bool {
	switch code {
	case 1004, 1005, 1006, 1015:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}
