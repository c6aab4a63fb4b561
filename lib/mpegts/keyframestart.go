package mpegts

import "bytes"

// keyframeStart is how the elementary stream of the last keyframe began, up to the end of its parameter sets. Of a
// keyframe that begins in the same way they need not be read. It is for speed alone.
type keyframeStart struct {
	sets []byte // empty: not known
	pps  uint32 // id of the PPS that the picture uses
}

// forget says that the parameter sets have changed.
func (k *keyframeStart) forget() { k.sets = k.sets[:0] }

// remember takes the first bytes of a keyframe that has all its parameter sets.
func (k *keyframeStart) remember(c codec, es []byte) {
	end, inSets := 0, false
	var codes startCodes
	for at := 0; ; {
		n := codes.next(es[at:])
		if n < 0 || at+n == len(es) {
			break
		}
		at += n
		if inSets {
			end = at - 3
		}
		if inSets = c.isSet(es[at]); !inSets && c.isPicture(es[at]) {
			break
		}
	}
	if pps, ok := keyframePPS(c, es[end:]); ok && end > 0 {
		k.sets, k.pps = append(k.sets, es[:end]...), pps
	}
}

// begins reports whether es begins a keyframe that has the same parameter sets, and nothing in front of its first slice
// that must be read.
func (k *keyframeStart) begins(c codec, es []byte) bool {
	n := len(k.sets)
	if n == 0 || !bytes.HasPrefix(es, k.sets) {
		return false
	}
	pps, ok := keyframePPS(c, es[n:])
	return ok && pps == k.pps
}

// keyframePPS returns the id of the PPS that a keyframe uses; of MPEG-1 and MPEG-2 video 0. Es begins after the
// parameter sets. It returns false if something else comes, or what must be looked at more closely.
func keyframePPS(c codec, es []byte) (id uint32, ok bool) {
	const least = 16
	n := 0
	if len(es) >= least {
		n = startCodeLen(es)
	}
	if n == 0 {
		return 0, false
	}
	if es = es[n:]; c == codecMPEG {
		if es[0] == groupStart {
			const length = 5
			if es[length] != 0 || es[length+1] != 0 || es[length+2] != 1 {
				return 0, false
			}
			es = es[length+3:]
		}
		return 0, es[0] == pictureStart && len(es) > 2 && es[2]>>3&7 == mpegIntra
	}
	unit := firstUnit(c, es)
	if unit == nil {
		return 0, false
	}
	var r bitReader
	if c == codecH264 {
		r.b = unit[1:]
		first := r.ue() == 0 // first_mb_in_slice
		ok = first && unit[0]&0x1F == h264IDR
		r.ue() // slice_type
	} else {
		r.b = unit[2:]
		first := r.bit() == 1 // first_slice_segment_in_pic_flag
		kind := unit[0] >> 1 & 0x3F
		ok = first && isBaseLayer(unit) && kind >= hevcFirstIRAP && kind <= hevcLastIRAP
		r.bit() // no_output_of_prior_pics_flag
	}
	id = r.ue()
	return id, ok && !r.overrun
}

// isSet reports whether a unit of that first byte is a parameter set, or belongs to a sequence header.
func (c codec) isSet(first byte) bool {
	switch c {
	case codecMPEG:
		return first == sequenceHeader || first == extensionStart || first == userData
	case codecH264:
		return first&0x1F == h264SPS || first&0x1F == h264PPS
	case codecHEVC:
		return first>>1&0x3F >= hevcVPS && first>>1&0x3F <= hevcPPS
	}
	return false
}

// isPicture reports whether a unit of that first byte is a slice, or the header of a picture.
func (c codec) isPicture(first byte) bool {
	switch c {
	case codecMPEG:
		return first == pictureStart
	case codecH264:
		return first&0x1F <= h264IDR
	case codecHEVC:
		return first>>1&0x3F <= hevcLastIRAP
	}
	return true
}
