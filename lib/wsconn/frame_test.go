package wsconn

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
)

// A message of any length is one frame that another library reads, after any bytes in memory before it.
func TestAppendMessage(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, n := range []int{0, 1, 125, 126, maskChunk - 1, maskChunk, maskChunk + 1, 65535, 65536, 200_003} {
		want := make([]byte, n)
		_, _ = random.Read(want)
		for _, masked := range []bool{false, true} {
			sent := bytes.Clone(want)
			b := appendMessage([]byte("before"), sent, masked)
			if !bytes.HasPrefix(b, []byte("before")) || !bytes.Equal(sent, want) {
				t.Fatalf("%d bytes: what is not the frame's was changed", n)
			}
			r := bytes.NewReader(b[len("before"):])
			frame, err := ws.ReadFrame(r)
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			h := frame.Header
			if h.Masked != masked || !h.Fin || h.Rsv != 0 || h.OpCode != ws.OpBinary || r.Len() > 0 {
				t.Errorf("%d bytes: %+v, and %d bytes after it", n, h, r.Len())
			}
			if masked {
				if n > 8 && bytes.Equal(frame.Payload, want) {
					t.Errorf("%d bytes: not masked", n)
				}
				ws.Cipher(frame.Payload, h.Mask, 0)
			}
			if !bytes.Equal(frame.Payload, want) {
				t.Errorf("%d bytes, masked %v: not what was sent", n, masked)
			}
		}
	}
}

// What AppendHeader writes is what another library reads, and ParseHeader takes back.
func TestHeader(t *testing.T) {
	for _, n := range []int64{0, 1, 125, 126, 65535, 65536, 1<<63 - 1} {
		for _, h := range []Header{
			{Final: true, Opcode: OpBinary, Masked: true, Key: [4]byte{1, 2, 3, 4}, Length: n},
			{Opcode: OpContinuation, Reserved: 0x50, Length: n},
		} {
			b := AppendHeader(nil, h)
			if got, err := ParseHeader(b); got != h || err != nil || HeaderSize(b) != len(b) {
				t.Errorf("%+v: %+v, %v", h, got, err)
			}
			got, err := ws.ReadHeader(bytes.NewReader(b))
			want := ws.Header{Fin: h.Final, Rsv: h.Reserved >> 4, OpCode: ws.OpCode(h.Opcode), Masked: h.Masked,
				Mask: h.Key, Length: n}
			if got != want || err != nil {
				t.Errorf("%+v: another library reads %+v, %v", h, got, err)
			}
		}
	}
	if _, err := ParseHeader([]byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}); err != ErrFrameLength {
		t.Errorf("a length of 2^63: %v", err)
	}
}

// A handshake's key is answered as in the example of RFC 6455, 1.3.
func TestAcceptKey(t *testing.T) {
	if got, want := AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
