package mpegts

// nal_unit_type of HEVC (ISO/IEC 23008-2, table 7-1).
const (
	hevcLastSlice = 9 // of pictures that are not IRAP
	hevcFirstIRAP = 16
	hevcLastIRAP  = 23
	hevcVPS       = 32
	hevcSPS       = 33
	hevcPPS       = 34
	hevcAUD       = 35
	hevcPrefixSEI = 39
)

// readHEVC looks at a NAL unit of HEVC (ISO/IEC 23008-2, 7.3).
func (s *Scanner) readHEVC(b []byte, complete bool) (want int) {
	if len(b) < 2 {
		return 2
	}
	kind := b[0] >> 1 & 0x3F
	layer := b[0]&1<<5 | b[1]>>3
	irap := kind >= hevcFirstIRAP && kind <= hevcLastIRAP
	slice := kind <= hevcLastSlice || irap
	if !s.unit.named {
		s.unit.named = true
		switch {
		case layer > 0:
			s.continuePicture()
			return 0
		case kind >= hevcVPS && kind <= hevcAUD, kind == hevcPrefixSEI,
			kind >= 41 && kind <= 44, kind >= 48 && kind <= 55: // 7.4.2.4.4
			s.boundary()
		case !slice:
			s.continuePicture()
		}
	}
	switch {
	case slice:
		return s.readHEVCSlice(b, irap, complete)
	case kind >= hevcVPS && kind <= hevcPPS:
		if complete {
			s.readHEVCSet(kind, b)
		}
		return maxSetSize
	}
	return 0
}

// readHEVCSlice reads the beginning of a slice segment header (7.3.6.1).
func (s *Scanner) readHEVCSlice(b []byte, irap, complete bool) (want int) {
	r := bitReader{b: b[2:]}
	h := sliceHeader{first: r.bit() == 1, keyframe: irap} // first_slice_segment_in_pic_flag
	if h.first && irap {
		r.bit() // no_output_of_prior_pics_flag
		h.pps = r.ue()
	}
	return s.takeSlice(b, h, r.overrun, complete)
}

// readHEVCSet keeps a parameter set (7.3.2).
func (s *Scanner) readHEVCSet(kind byte, b []byte) {
	if s.sets.repeats(videoSet+setKind(kind-hevcVPS), s.au.number, b) {
		return
	}
	r := bitReader{b: b[2:]}
	switch kind {
	case hevcVPS:
		if id := r.bits(4); !r.overrun {
			s.sets.put(videoSet, id, 0, s.au.number, b)
		}
	case hevcSPS:
		vps := r.bits(4)
		subLayers := int(r.bits(3)) // sps_max_sub_layers_minus1
		r.bit()
		skipProfileTierLevel(&r, subLayers)
		if id := r.ue(); !r.overrun && id < 16 {
			s.sets.put(seqSet, id, vps, s.au.number, b)
		}
	case hevcPPS:
		if id, sps := r.ue(), r.ue(); !r.overrun && id < 64 && sps < 16 {
			s.sets.put(pictureSet, id, sps, s.au.number, b)
		}
	}
}

// skipProfileTierLevel skips profile_tier_level (7.3.3).
func skipProfileTierLevel(r *bitReader, subLayers int) {
	const profile, level = 88, 8
	r.bits(profile)
	r.bits(level)
	if subLayers == 0 {
		return
	}
	var present [8]uint32
	for i := range 8 {
		present[i] = r.bits(2) // of unused ones it is reserved_zero_2bits
	}
	for i := range subLayers {
		if present[i]&2 != 0 {
			r.bits(profile)
		}
		if present[i]&1 != 0 {
			r.bits(level)
		}
	}
}
