package mpegts

// nal_unit_type of H.264 (ISO/IEC 14496-10, table 7-1).
const (
	h264Slice      = 1
	h264PartitionA = 2
	h264IDR        = 5
	h264SEI        = 6
	h264SPS        = 7
	h264PPS        = 8
	h264AUD        = 9
)

// readH264 looks at a NAL unit of H.264 (ISO/IEC 14496-10, 7.3).
func (s *Scanner) readH264(b []byte, complete bool) (want int) {
	if len(b) == 0 {
		return 1
	}
	kind := b[0] & 0x1F
	if !s.unit.named {
		s.unit.named = true
		switch {
		case kind >= h264SEI && kind <= h264AUD, kind >= 14 && kind <= 18:
			s.boundary()
		case kind != h264Slice && kind != h264PartitionA && kind != h264IDR:
			s.continuePicture()
		}
	}
	switch kind {
	case h264Slice, h264PartitionA, h264IDR:
		return s.readH264Slice(b, kind == h264IDR, complete)
	case h264SPS:
		if complete && len(b) > 4 && !s.sets.repeats(seqSet, s.au.number, b) {
			r := bitReader{b: b[4:]}
			if id := r.ue(); !r.overrun && id < 32 {
				if set := s.sets.put(seqSet, id, 0, s.au.number, b); set != nil {
					set.slices = readSliceForm(b)
					s.unit.interlaced = s.sets.allowFields()
				}
			}
		}
		return maxSetSize
	case h264PPS:
		if complete && !s.sets.repeats(pictureSet, s.au.number, b) {
			r := bitReader{b: b[1:]}
			if id, sps := r.ue(), r.ue(); !r.overrun && id < 256 && sps < 32 {
				s.sets.put(pictureSet, id, sps, s.au.number, b)
			}
		}
		return maxSetSize
	case h264SEI:
		return s.readH264SEI(b, complete)
	}
	return 0
}

// readH264Slice reads the beginning of a slice header (7.3.3).
func (s *Scanner) readH264Slice(b []byte, idr, complete bool) (want int) {
	r := bitReader{b: b[1:]}
	h := sliceHeader{first: r.ue() == 0, keyframe: idr || s.au.recovery && s.au.open} // first_mb_in_slice
	var f field
	if h.first && (h.keyframe || s.unit.interlaced) {
		r.ue() // slice_type
		h.pps = r.ue()
		f = s.sets.readField(&r, h.pps)
	}
	if h.first && !r.overrun {
		if h.second = f.completes(s.unit.firstField); h.second {
			f = field{}
		}
		s.unit.firstField = f
	}
	return s.takeSlice(b, h, r.overrun, complete)
}

// sliceHeader is what must be known of a slice of H.264 or HEVC.
type sliceHeader struct {
	first    bool // of its picture
	keyframe bool
	second   bool   // its picture is the second field of a frame
	pps      uint32 // id of the PPS, known if it is the first of a keyframe
}

// takeSlice takes the slice that begins with b. Overrun says that b ends inside its header.
func (s *Scanner) takeSlice(b []byte, h sliceHeader, overrun, complete bool) (want int) {
	switch {
	case overrun && !complete && len(b) < firstWant:
		return firstWant
	case overrun, !h.first: // it is broken, or not the first
		s.continuePicture()
	case h.second:
		s.continueFrame()
	case h.keyframe:
		s.picture(s.neededSets(h.pps, s.unit.codec == codecHEVC))
	default:
		s.picture(nil, false)
	}
	return 0
}

// neededSets returns what identifies the parameter sets that a keyframe with a PPS of the given id needs, nil if they
// have not come, and whether the access unit does not carry all of them.
func (s *Scanner) neededSets(id uint32, vps bool) (identity []byte, misses bool) {
	pps := s.sets.get(pictureSet, id)
	if pps == nil {
		return nil, true
	}
	sps := s.sets.get(seqSet, pps.refers)
	if sps == nil {
		return nil, true
	}
	number := s.au.number
	if !s.au.open {
		number++ // the picture begins an access unit, which has none
	}
	misses = pps.unit != number || sps.unit != number
	if vps {
		set := s.sets.get(videoSet, sps.refers)
		if set == nil {
			return nil, true
		}
		misses = misses || set.unit != number
	}
	return sps.data, misses
}

// readH264SEI looks for a recovery point among SEI messages.
func (s *Scanner) readH264SEI(b []byte, complete bool) (want int) {
	const longest = 256
	switch {
	case hasRecoveryPoint(b):
		s.au.recovery = true
	case !complete && len(b) < longest:
		return longest
	}
	return 0
}

// hasRecoveryPoint reports whether a NAL unit of SEI messages that begins with b has a recovery point (7.3.2.3).
func hasRecoveryPoint(b []byte) bool {
	const recoveryPoint, stop = 6, 0x80
	r := bitReader{b: b[1:]}
	for len(r.b) > 1 && r.b[0] != stop {
		kind, size := r.seiNumber(), r.seiNumber()
		if r.overrun {
			break
		}
		if kind == recoveryPoint {
			return true
		}
		for range size {
			r.byte()
		}
	}
	return false
}

// seiNumber reads the type or the size of an SEI message (7.3.2.3.1).
func (r *bitReader) seiNumber() (n int) {
	for !r.overrun {
		b := r.byte()
		n += int(b)
		if b != 0xFF {
			break
		}
	}
	return n
}
