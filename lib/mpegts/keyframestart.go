package mpegts

import (
	"bytes"
	"encoding/binary"
)

// keyframeStart is how the elementary stream of the last keyframe began, up to the end of its parameter sets, and how
// its first slice did. Of a keyframe that begins in the same way neither needs to be read. It is for speed alone.
type keyframeStart struct {
	sets []byte // empty: not known
	// first is where the first of the sets begins, after its start code.
	first int
	// slice are the first bits of the slice header, up to the id of the PPS, on top; bits is how many they are. Of
	// MPEG-1 and MPEG-2 video there are none.
	slice uint32
	bits  int
}

// forget says that the parameter sets have changed.
func (k *keyframeStart) forget() { k.sets = k.sets[:0] }

// remember takes the first bytes of a keyframe that has all its parameter sets.
func (k *keyframeStart) remember(c codec, es []byte) {
	first, end, inSets := 0, 0, false
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
		if inSets && first == 0 {
			first = at
		}
	}
	if end == 0 {
		return
	}
	if c != codecMPEG {
		unit := afterStartCode(c, es[end:])
		if k.bits = keyframeSliceBits(c, unit); k.bits == 0 {
			return
		}
		k.slice = binary.BigEndian.Uint32(unit) >> (32 - k.bits)
	}
	k.sets, k.first = append(k.sets, es[:end]...), first
}

// mayBegin reports whether it is worth asking begins: es has the first parameter set where the last keyframe had it.
func (k *keyframeStart) mayBegin(es []byte) bool {
	return k.first < len(k.sets) && k.first < len(es) && es[k.first] == k.sets[k.first]
}

// begins reports whether es begins a keyframe that has the same parameter sets, and nothing in front of its first slice
// that must be read.
func (k *keyframeStart) begins(c codec, es []byte) bool {
	n := len(k.sets)
	if !bytes.HasPrefix(es, k.sets) {
		return false
	}
	if c == codecMPEG {
		return beginsIntra(es[n:])
	}
	unit := afterStartCode(c, es[n:])
	return unit != nil && binary.BigEndian.Uint32(unit)>>(32-k.bits) == k.slice
}

// beginsIntra reports whether es, which follows a sequence header, begins with an I picture, or with the header of a
// group of pictures and one.
func beginsIntra(es []byte) bool {
	const least, group = 16, 4 // bytes; of a group's header after the start code
	if len(es) < least {
		return false
	}
	n := startCodeLen(es)
	if n > 0 && es[n] == groupStart {
		es = es[n+1+group:]
		n = startCodeLen(es)
	}
	return n > 0 && es[n] == pictureStart && es[n+2]>>3&7 == mpegIntra
}

// afterStartCode returns the first NAL unit of es, which begins with a start code, that is neither an access unit
// delimiter nor an SEI message: four bytes of it or more. It returns nil if there is none.
func afterStartCode(c codec, es []byte) []byte {
	if len(es) < 4 {
		return nil
	}
	n := startCodeLen(es)
	if n == 0 {
		return nil
	}
	unit := firstUnit(c, es[n:])
	if len(unit) < 4 {
		return nil
	}
	return unit
}

// keyframeSliceBits returns the length in bits of the NAL unit header and of the slice header up to the id of the PPS,
// if unit is the first slice of a keyframe that needs no recovery point; 0 if it is not, or if they are longer than 32
// bits.
func keyframeSliceBits(c codec, unit []byte) int {
	if len(unit) < 4 {
		return 0
	}
	header := 1
	if c == codecHEVC {
		header = 2
	}
	r := bitReader{b: unit[header:4]}
	var ok bool
	if c == codecH264 {
		ok = unit[0]&0x1F == h264IDR && r.ue() == 0 // first_mb_in_slice
		r.ue()                                      // slice_type
	} else {
		kind := unit[0] >> 1 & 0x3F
		ok = isBaseLayer(unit) && kind >= hevcFirstIRAP && kind <= hevcLastIRAP &&
			r.bit() == 1 // first_slice_segment_in_pic_flag
		r.bit() // no_output_of_prior_pics_flag
	}
	r.ue() // slice_pic_parameter_set_id
	if !ok || r.overrun || bytes.Contains(unit[:4], []byte{0, 0, 3}) {
		return 0
	}
	return 8*(4-len(r.b)) - r.left
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
