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
		if complete && len(b) > 4 {
			r := bitReader{b: b[4:]}
			if id := r.ue(); !r.overrun && id < 32 {
				s.sets.put(seqSet, id, 0, s.au.number, b)
			}
		}
		return maxSetSize
	case h264PPS:
		if complete {
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
	first := r.ue() // first_mb_in_slice
	if r.overrun {
		return s.needMore(b, complete)
	}
	if first != 0 {
		s.continuePicture()
		return 0
	}
	if !idr && !s.au.recovery || !s.au.open && !idr {
		s.picture(nil, false)
		return 0
	}
	r.ue() // slice_type
	id := r.ue()
	if r.overrun {
		return s.needMore(b, complete)
	}
	identity, misses := s.neededSets(id, false)
	s.picture(identity, misses)
	return 0
}

// needMore returns how many bytes of a slice are needed if its header is not complete.
func (s *Scanner) needMore(b []byte, complete bool) int {
	if complete || len(b) >= firstWant {
		s.continuePicture() // it is broken
		return 0
	}
	return firstWant
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

// readH264SEI looks for a recovery point among SEI messages (7.3.2.3).
func (s *Scanner) readH264SEI(b []byte, complete bool) (want int) {
	const recoveryPoint, longest = 6, 256
	for at := 1; at+1 < len(b) && b[at] != 0x80; {
		kind, size := 0, 0
		for ; at < len(b) && b[at] == 0xFF; at++ {
			kind += 0xFF
		}
		if at < len(b) {
			kind += int(b[at])
			at++
		}
		for ; at < len(b) && b[at] == 0xFF; at++ {
			size += 0xFF
		}
		if at == len(b) {
			break
		}
		size += int(b[at])
		at++
		if kind == recoveryPoint {
			s.au.recovery = true
			return 0
		}
		at += size
	}
	if complete || len(b) >= longest {
		return 0
	}
	return longest
}
