package mpegts

// field is a picture of H.264 that is one of the two fields of a frame.
type field struct {
	coded    bool // it is a field; else the picture is a frame
	bottom   bool
	frameNum uint32
}

// completes reports whether it is the second field of the frame of which first is one.
func (f field) completes(first field) bool {
	return f.coded && first.coded && f.bottom != first.bottom && f.frameNum == first.frameNum
}

// mayBeField reports whether the picture that has begun may be a field, so that more of it must be read.
func (u *unitState) mayBeField() bool {
	return u.firstField.coded || u.codec == codecMPEG && u.interlaced
}

// sliceForm is what an SPS of H.264 says of the beginning of slice headers.
type sliceForm struct {
	fields       bool // pictures may be fields
	planes       bool // separate_colour_plane_flag
	frameNumBits int
}

// readSliceForm reads an SPS of H.264 (ISO/IEC 14496-10, 7.3.2.1.1).
func readSliceForm(sps []byte) (f sliceForm) {
	r := bitReader{b: sps[1:]}
	profile := r.byte()
	r.byte() // constraint flags
	r.byte() // level_idc
	r.ue()   // seq_parameter_set_id
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		f.planes = readChroma(&r)
	}
	f.frameNumBits = int(r.ue()) + 4 // log2_max_frame_num_minus4
	switch r.ue() {                  // pic_order_cnt_type
	case 0:
		r.ue() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.bit() // delta_pic_order_always_zero_flag
		r.ue()  // offset_for_non_ref_pic
		r.ue()  // offset_for_top_to_bottom_field
		for range min(r.ue(), 255) {
			r.ue() // offset_for_ref_frame
		}
	}
	r.ue()  // max_num_ref_frames
	r.bit() // gaps_in_frame_num_value_allowed_flag
	r.ue()  // pic_width_in_mbs_minus1
	r.ue()  // pic_height_in_map_units_minus1
	frameMbsOnly := r.bit() == 1
	f.fields = !frameMbsOnly && !r.overrun && f.frameNumBits <= 16
	return f
}

// readChroma passes over what the SPS of the high profiles say of samples, and returns separate_colour_plane_flag.
func readChroma(r *bitReader) (planes bool) {
	lists := 8
	if r.ue() == 3 { // chroma_format_idc
		planes = r.bit() == 1
		lists = 12
	}
	r.ue()            // bit_depth_luma_minus8
	r.ue()            // bit_depth_chroma_minus8
	r.bit()           // qpprime_y_zero_transform_bypass_flag
	if r.bit() == 0 { // seq_scaling_matrix_present_flag
		return planes
	}
	for i := range lists {
		if r.bit() == 0 {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		skipScalingList(r, size)
	}
	return planes
}

// skipScalingList passes over a list of size coefficients (7.3.2.1.1.1).
func skipScalingList(r *bitReader, size int) {
	scale := 8
	for range size {
		code := int(r.ue())
		delta := (code + 1) / 2
		if code%2 == 0 {
			delta = -delta
		}
		if scale = (scale + delta) & 0xFF; scale == 0 || r.overrun {
			return // the rest of the list repeats what was before
		}
	}
}

// allowFields reports whether one of the SPS says that pictures may be fields.
func (s *setStore) allowFields() bool {
	for i := range s.sets {
		if s.sets[i].slices.fields {
			return true
		}
	}
	return false
}

// readField reads the part of a slice header of H.264 that follows the id of its PPS (7.3.3).
func (s *setStore) readField(r *bitReader, pps uint32) (f field) {
	set := s.get(pictureSet, pps)
	if set == nil {
		return field{}
	}
	if set = s.get(seqSet, set.refers); set == nil || !set.slices.fields {
		return field{}
	}
	if set.slices.planes {
		r.bits(2) // colour_plane_id
	}
	f.frameNum = r.bits(set.slices.frameNumBits)
	if f.coded = r.bit() == 1; f.coded { // field_pic_flag
		f.bottom = r.bit() == 1 // bottom_field_flag
	}
	return f
}
