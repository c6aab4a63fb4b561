// Package bytediff words where two MPEG transport streams begin to differ.
package bytediff

import (
	"fmt"

	"github.com/timdrysdale/vw/lib/mpegts"
)

const (
	before = 8 // bytes shown in front of the difference

	// Length is how many bytes of each side are shown at most.
	Length = 24
)

// Side is one of the two streams: some bytes of it, the offset of the first of them in the stream, and the index of the
// one that differs. An index past the end means that the stream has ended there.
type Side struct {
	Bytes  []byte
	Offset int64
	Index  int
}

// Dump returns two indented lines, each after a line break: the bytes around the difference in both streams.
func Dump(expected, came Side) string {
	return "\n  expected " + expected.line() + "\n  came     " + came.line()
}

func (s Side) line() string {
	from := max(0, s.Index-before)
	to := min(len(s.Bytes), from+Length)
	text := fmt.Sprintf("%08x ", s.Offset+int64(from))
	for i := from; i < to; i++ {
		if i == s.Index {
			text += fmt.Sprintf(" >%02x<", s.Bytes[i])
		} else {
			text += fmt.Sprintf(" %02x", s.Bytes[i])
		}
	}
	if s.Index >= len(s.Bytes) {
		text += " (end)"
	}
	return text
}

// Location names a byte of a stream by its offset and the number of its packet, and by the PID if the start of that
// packet is known.
func Location(offset int64, packet []byte) string {
	text := fmt.Sprintf("byte %d (packet %d", offset, offset/mpegts.PacketSize)
	if len(packet) >= 4 && packet[0] == mpegts.SyncByte {
		text += fmt.Sprintf(", PID 0x%04x", uint16(packet[1]&0x1F)<<8|uint16(packet[2]))
	}
	return text + ")"
}
