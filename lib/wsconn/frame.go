package wsconn

import (
	"crypto/rand"
	"encoding/binary"
	"unicode/utf8"
)

// Opcodes of RFC 6455, 5.2, as far as the socket has to tell them apart.
const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
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

// sendable reports whether an endpoint may put the code into a close frame (RFC 6455, 7.4).
func sendable(code int) bool {
	switch code {
	case 1004, 1005, 1006, 1015:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}
