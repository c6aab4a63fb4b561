package mpegts

import "bytes"

// Tables are the PAT and the PMT of a program, as packets that can be put in front of any place of the stream. They
// do not change once made.
type Tables struct {
	pat, pmt []byte // whole packets; Append sets their counters
	// Streams are the program's elementary streams, in the order of the PMT.
	Streams []Stream
	// PMTPID is the PID of the PMT, PCRPID that of the program clock reference; PIDNull if the program has none.
	PMTPID, PCRPID uint16

	number uint16 // program_number
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

// changes compares the tables with those that replace them. Followed is the PID that was followed, stream what is
// from now on. The program may still be there if another one is followed.
func (t *Tables) changes(next *Tables, followed uint16, stream Stream, stillThere bool) Change {
	if bytes.Equal(t.pat, next.pat) && bytes.Equal(t.pmt, next.pmt) {
		return 0
	}
	if next.number != t.number && stillThere {
		return TablesChanged
	}
	for _, old := range t.Streams {
		if old.PID == followed && old != stream {
			return CodecChanged
		}
	}
	hadAudio, hasAudio, sameAudio := false, false, false
	for _, old := range t.Streams {
		hadAudio = hadAudio || old.Type.IsAudio()
	}
	for _, new := range next.Streams {
		hasAudio = hasAudio || new.Type.IsAudio()
		for _, old := range t.Streams {
			if old.PID != new.PID {
				continue
			}
			if old != new {
				return CodecChanged
			}
			sameAudio = sameAudio || new.Type.IsAudio()
		}
	}
	if hadAudio && hasAudio && !sameAudio {
		return CodecChanged
	}
	return TablesChanged
}

// Counters are the continuity counters of the last packets of the PAT's and the PMT's PIDs at some place of a stream.
type Counters struct{ PAT, PMT uint8 }

// Append appends the packets of the PAT and of the PMT. Their counters end with c, so that the stream's own next
// tables continue them.
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
