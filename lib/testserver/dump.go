package testserver

import (
	"fmt"

	"github.com/timdrysdale/vw/lib/mpegts"
)

const (
	dumpBefore = 8  // bytes shown in front of the place
	dumpLength = 24 // bytes shown in all
)

// dump shows the bytes around expected[e] and came[c], where two streams part: two lines, each with the offset of its
// first byte. eAt and cAt are the offsets of expected[0] and came[0] in their streams.
func dump(expected []byte, e int, eAt int64, came []byte, c int, cAt int64) string {
	return fmt.Sprintf("\n  expected %s\n  came     %s", dumpLine(expected, e, eAt), dumpLine(came, c, cAt))
}

func dumpLine(b []byte, i int, at int64) string {
	from := max(0, i-dumpBefore)
	to := min(len(b), from+dumpLength)
	text := fmt.Sprintf("%08x ", at+int64(from))
	for j := from; j < to; j++ {
		if j == i {
			text += fmt.Sprintf(" >%02x<", b[j])
		} else {
			text += fmt.Sprintf(" %02x", b[j])
		}
	}
	if i >= len(b) {
		text += " (end)"
	}
	return text
}

// place names a byte of a stream: its offset, and the packet and PID when packet is that which it stands in.
func place(at int64, packet []byte) string {
	text := fmt.Sprintf("byte %d (packet %d", at, at/mpegts.PacketSize)
	if len(packet) >= 4 && packet[0] == mpegts.SyncByte {
		text += fmt.Sprintf(", PID 0x%04x", uint16(packet[1]&0x1F)<<8|uint16(packet[2]))
	}
	return text + ")"
}
