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

func (f Format) String() string { return formatNames[f] }

const (
	// detectWindow is how many bytes Auto looks at.
	detectWindow = 1024
	// detectTimeout is how long Auto waits for them.
	detectTimeout = 100 * time.Millisecond
	// detectSyncs sync bytes, a packet apart, make a stream TS.
	detectSyncs = 3
)

// detect returns the format of a stream that begins with b, or Auto when b is too short to tell.
func detect(b []byte) Format {
	window := b[:min(len(b), detectWindow)]
	for i := 0; i+(detectSyncs-1)*mpegts.PacketSize < len(window); i++ {
		if syncsAt(window, i) {
			return TS
		}
	}
	if len(window) == detectWindow {
		return Raw
	}
	return Auto
}

// syncsAt reports whether detectSyncs sync bytes stand a packet apart from b[i] on; b must be long enough.
func syncsAt(b []byte, i int) bool {
	for n := range detectSyncs {
		if b[i+n*mpegts.PacketSize] != mpegts.SyncByte {
			return false
		}
	}
	return true
}
