package mpegts

import (
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
