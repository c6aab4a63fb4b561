package mpegts

import (
	"fmt"
	"maps"
	"slices"
)

// StreamInfo is one PID of a stream.
type StreamInfo struct {
	PID uint16 `json:"pid"`
	// Codec is the codec that the PMT names, or the name of the table; "" if unknown.
	Codec   string `json:"codec"`
	Packets int64  `json:"packets"`
}

// Streams returns the PIDs that were seen, except that of null packets, in ascending order.
func (c *Checker) Streams() []StreamInfo {
	var all []StreamInfo
	for _, pid := range slices.Sorted(maps.Keys(c.packetsByPID)) {
		info := StreamInfo{PID: pid, Packets: c.packetsByPID[pid]}
		switch {
		case pid == PIDPAT:
			info.Codec = "PAT"
		case pid == 0x11:
			info.Codec = "SDT" // ETSI EN 300 468, 5.1.3
		case c.psi[pid] != nil:
			info.Codec = "PMT"
		case c.streamType(pid) != streamUnknown:
			info.Codec = c.streamType(pid).String()
		}
		all = append(all, info)
	}
	return all
}

// String is the codec's name (ISO/IEC 13818-1, table 2-34; above 0x7F what is usual).
func (t StreamType) String() string {
	switch t {
	case StreamMPEG1Video:
		return "MPEG-1 video"
	case StreamMPEG2Video:
		return "MPEG-2 video"
	case 0x03:
		return "MPEG-1 audio"
	case 0x04:
		return "MPEG-2 audio"
	case 0x06:
		return "private PES"
	case 0x0F, 0x11:
		return "AAC"
	case 0x10:
		return "MPEG-4 video"
	case 0x15:
		return "metadata"
	case StreamH264:
		return "H.264"
	case StreamHEVC:
		return "HEVC"
	case 0x33:
		return "VVC"
	case 0x81:
		return "AC-3"
	case 0x87:
		return "E-AC-3"
	}
	return fmt.Sprintf("stream type 0x%02x", uint8(t))
}
