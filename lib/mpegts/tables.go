package mpegts

// Tables are the PAT and the PMT of a program, as packets that can be put in front of any place of the stream. They do
// not change once made.
type Tables struct {
	pat, pmt []byte // whole packets; Append sets their counters
	// Streams are the program's elementary streams, in the order of the PMT.
	Streams []Stream
	// PMTPID is the PID of the PMT.
	PMTPID uint16
}

// Carries reports whether the PID is one of the program's elementary streams.
func (t *Tables) Carries(pid uint16) bool {
	for _, s := range t.Streams {
		if s.PID == pid {
			return true
		}
	}
	return false
}

// Counters are the continuity counters of the last packets of the PAT's and the PMT's PIDs at some place of a stream.
type Counters struct{ PAT, PMT uint8 }

// Append appends the packets of the PAT and of the PMT. Their counters end with c, so that the stream's own next tables
// continue them.
func (t *Tables) Append(dst []byte, c Counters) []byte {
	dst = appendCounted(dst, t.pat, c.PAT)
	return appendCounted(dst, t.pmt, c.PMT)
}

func appendCounted(dst, packets []byte, last uint8) []byte {
	start := len(dst)
	dst = append(dst, packets...)
	for i := len(dst) - PacketSize; i >= start; i -= PacketSize {
		dst[i+3] = dst[i+3]&0xF0 | last&0x0F
		last--
	}
	return dst
}
