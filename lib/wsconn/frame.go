package wsconn

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"sync"
	"unicode/utf8"
)

const (
	maxControl     = MaxHeader + MaxControlPayload // bytes that a control frame may have at most
	maxCloseReason = MaxControlPayload - 2         // bytes: a close frame begins with the code
)

// maskChunk is how many bytes are masked at once. It is a multiple of four, so that each chunk begins with the same
// byte of the key.
const maskChunk = 1 << 10

// mask is a masking key (RFC 6455, 5.3), repeated so that many bytes can be masked at once.
type mask [maskChunk + 4]byte

// set makes it the mask of a payload of n bytes.
func (m *mask) set(key [4]byte, n int64) {
	copy(m[:], key[:])
	for have := 4; have < int(min(n, maskChunk))+4; have *= 2 {
		copy(m[have:], m[:have])
	}
}

// xor masks or unmasks src, which stands at pos in its payload, into dst. The two may be the same.
func (m *mask) xor(dst, src []byte, pos int64) {
	key := m[pos%4:]
	for len(src) > 0 {
		n := subtle.XORBytes(dst, src[:min(len(src), maskChunk)], key)
		dst, src = dst[n:], src[n:]
	}
}

// keys are the masking keys of all connections.
var keys keySource

// keySource draws many keys at once: the way to the kernel's randomness is long, and is not in the processor's cache
// when the next frame of a camera comes.
type keySource struct {
	mu     sync.Mutex
	random [256]byte
	left   int // bytes of random that are no key yet
}

func (s *keySource) next() (key [4]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		_, _ = rand.Read(s.random[:]) // never fails
		s.left = len(s.random)
	}
	s.left -= len(key)
	return [4]byte(s.random[s.left:])
}

// appendMessage appends p as a binary message of one frame, masked when a client sends it (RFC 6455, 5.3).
func appendMessage(dst, p []byte, masked bool) []byte {
	return appendFrame(dst, OpBinary, p, masked)
}

func appendFrame(dst []byte, opcode byte, p []byte, masked bool) []byte {
	h := Header{Final: true, Opcode: opcode, Masked: masked, Length: int64(len(p))}
	if !masked {
		return append(AppendHeader(dst, h), p...)
	}
	h.Key = keys.next()
	dst = AppendHeader(dst, h)
	var m mask
	m.set(h.Key, h.Length)
	at := len(dst)
	dst = slices.Grow(dst, len(p))[:at+len(p)]
	m.xor(dst[at:], p, 0)
	return dst
}

// closePayload returns the payload of a close frame. A reason that is too long is cut at a character.
func closePayload(code int, reason string) []byte {
	if len(reason) > maxCloseReason {
		reason = reason[:maxCloseReason]
		for len(reason) > 0 && !utf8.ValidString(reason) {
			reason = reason[:len(reason)-1]
		}
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}
