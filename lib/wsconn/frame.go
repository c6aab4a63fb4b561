package wsconn

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

const (
	maxControl     = MaxHeader + MaxControlPayload // bytes that a control frame may have at most
	maxCloseReason = MaxControlPayload - 2         // bytes: a close frame begins with the code
)

// maskRun is how many bytes are masked at once. A multiple of four, so that each run begins with the key's first byte.
const maskRun = 1 << 10

// appendMessage appends p as a binary message of one frame, masked when a client sends it (RFC 6455, 5.3).
func appendMessage(dst, p []byte, masked bool) []byte {
	h := Header{Final: true, Opcode: OpBinary, Masked: masked, Length: int64(len(p))}
	if !masked {
		return append(AppendHeader(dst, h), p...)
	}
	rand.Read(h.Key[:])
	dst = AppendHeader(dst, h)
	var key [maskRun]byte
	copy(key[:], h.Key[:])
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
	f := []byte{0x80 | OpClose, byte(2 + len(reason))}
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
