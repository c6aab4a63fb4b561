package mpegts

// unitState reads the units of an elementary stream that begin with a start code: NAL units, or the headers and
// slices of MPEG-1 and MPEG-2 video. Of each it keeps as much as must be known.
type unitState struct {
	codec  codec
	codes  startCodes
	inUnit bool   // the bytes that come belong to a unit that must be known
	buf    []byte // its first bytes, without start code
	want   int    // how many of them are needed next
	named  bool   // its type has been looked at

	interlaced bool  // pictures may be fields
	firstField field // of H.264: it waits for the other field of its frame
	mpeg       mpegState
}

// firstWant is how many bytes of a unit are looked at first: enough for the header of a slice.
const firstWant = 24

func (u *unitState) begin() {
	u.inUnit, u.buf, u.want, u.named = true, u.buf[:0], firstWant, false
}

// collect takes the next bytes of the unit. Ended says that they are its last, with the start code prefix that ends
// it.
func (s *Scanner) collect(b []byte, ended bool) {
	u := &s.unit
	for {
		n := min(len(b), u.want-len(u.buf))
		u.buf = append(u.buf, b[:n]...)
		b = b[n:]
		last := ended && len(b) == 0
		if last {
			u.buf = trimStartCode(u.buf, u.codec == codecMPEG)
		}
		want := s.readUnit(u.buf, last)
		if last || want <= len(u.buf) {
			u.inUnit = false
			return
		}
		if u.want = max(want, u.want); len(b) == 0 {
			return
		}
	}
}

// trimStartCode takes the start code prefix off the end of a unit. A NAL unit has no zeros at its end; a header may
// have.
func trimStartCode(b []byte, header bool) []byte {
	if len(b) > 0 && b[len(b)-1] == 1 {
		b = b[:len(b)-1]
	}
	if header {
		return b[:max(len(b)-2, 0)]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// readUnit looks at what has come of a unit, and returns how many bytes of it are needed to go on; no more than there
// are when it is done. Complete says that no more will come.
func (s *Scanner) readUnit(b []byte, complete bool) (want int) {
	switch s.unit.codec {
	case codecMPEG:
		return s.readMPEG(b, complete)
	case codecH264:
		return s.readH264(b, complete)
	default:
		return s.readHEVC(b, complete)
	}
}
