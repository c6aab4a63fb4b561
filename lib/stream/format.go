package stream

import (
	"fmt"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Format says how a stream is cut.
type Format int

const (
	// Auto decides by the first bytes.
	Auto Format = iota
	// TS is MPEG-TS: packets of 188 bytes (ISO/IEC 13818-1).
	TS
	// Raw is any bytes.
	Raw
)

// ParseFormat reads the value of --format.
func ParseFormat(s string) (Format, error) {
	for f, name := range formatNames {
		if s == name {
			return Format(f), nil
		}
	}
	return Auto, fmt.Errorf("unknown format %q (auto, ts or raw)", s)
}

var formatNames = [...]string{Auto: "auto", TS: "ts", Raw: "raw"}

const (
	// detectWindow is how many bytes Auto looks at.
	detectWindow = 1024
	// detectTimeout is how long Auto waits for them.
	detectTimeout = 100 * time.Millisecond
	// detectSyncs sync bytes, a packet apart, make a stream TS.
	detectSyncs = 3
)

// PacketSizeError says that the packets of a stream have another size than those of MPEG-TS.
type PacketSizeError struct {
	// Size of the packets in bytes: 192 with four bytes of time before each (M2TS), 204 with 16 bytes of Reed-Solomon
	// code after each (DVB).
	Size int
}

func (e *PacketSizeError) Error() string {
	return fmt.Sprintf("the stream has packets of %d bytes, not of %d as in MPEG-TS", e.Size, mpegts.PacketSize)
}

// Hint says what the user can do.
func (e *PacketSizeError) Hint() string {
	return "let ffmpeg take the other bytes out first: ffmpeg -i INPUT -c copy -f mpegts -"
}

// otherSizes are the packet sizes that detect distinguishes from those of MPEG-TS.
var otherSizes = [...]int{192, 204}

// detect returns the size of the packets of a stream that begins with b, or 0 if it has none. It does not know when b
// is too short to decide, unless nothing more will come.
func detect(b []byte, final bool) (size int, known bool) {
	window := b[:min(len(b), detectWindow)]
	for i := 0; i+(detectSyncs-1)*mpegts.PacketSize < len(window); i++ {
		if syncsAt(window, i, mpegts.PacketSize) >= detectSyncs {
			return mpegts.PacketSize, true
		}
	}
	if len(window) < detectWindow && !final {
		return 0, false
	}
	for _, size := range otherSizes {
		for i := 0; i < size && i+(detectSyncs-1)*size < len(window); i++ {
			if n := syncsAt(window, i, size); i+n*size >= len(window) {
				return size, true
			}
		}
	}
	return 0, true
}

// syncsAt counts the sync bytes that stand size bytes apart from b[i] on.
func syncsAt(b []byte, i, size int) (n int) {
	for ; i < len(b) && b[i] == mpegts.SyncByte; i += size {
		n++
	}
	return n
}
