package mpegts

import "encoding/binary"

// quickPicture marks the packet in which a PES packet of the video begins if it is like most of them: one access unit
// that is no keyframe, with nothing special in front of its first slice, and at the time when the next one was to
// come. It returns false, and has done nothing, for all others. It exists for speed alone: scanVideo would give the
// same mark.
func (s *Scanner) quickPicture(p Packet) bool {
	const least = 40 // bytes of PES header and elementary stream that may be looked at
	start := 4
	switch p[3] & 0xF0 {
	case 0x10:
	case 0x30:
		if start = 5 + int(p[4]); p[4] > 0 && p[5]&0x80 != 0 {
			return false // a gap is announced
		}
	default:
		return false
	}
	if start > PacketSize-least {
		return false
	}
	h := p[start:PacketSize]
	if binary.BigEndian.Uint32(h)&^0xF != 0x1E0 || h[6]&0xC0 != 0x80 || int(h[8]) > len(h)-least+10 {
		return false
	}
	var dts uint64
	switch h[7] >> 6 {
	case 2:
		dts = timestamp(h[9:14])
	case 3:
		dts = timestamp(h[14:19])
	default:
		return false
	}
	if step := (dts - s.trust.dts) & (ClockModulus - 1); step == 0 || 2*step > 3*uint64(s.trust.step) {
		return false
	}
	if !plainPicture(s.unit.codec, h[9+int(h[8]):]) {
		return false
	}
	s.trust.dts = dts
	s.clock.dts, s.clock.at = dts, s.ReceivedAt
	s.au.number++
	s.au.missesSets = false
	s.pes.counter = p.Continuity()
	s.mark, s.change = AccessUnit|1<<unitsShift, 0
	return true
}

// plainPicture reports whether es, of 20 bytes or more, begins with the first slice of a picture that is no keyframe,
// with no more than an access unit delimiter and SEI messages in front.
func plainPicture(c codec, es []byte) bool {
	n := startCodeLen(es)
	if n == 0 {
		return false
	}
	if es = es[n:]; c == codecMPEG {
		const intra = 1
		return es[0] == pictureStart && es[2]>>3&7 != intra
	}
	for len(es) >= 3 {
		var slice, first, inFront, sei bool
		switch c {
		case codecH264:
			kind := es[0] & 0x1F
			slice, first = kind == h264Slice, es[1]&0x80 != 0 // first_mb_in_slice is 0
			sei = kind == h264SEI
			inFront = kind == h264AUD || sei
		case codecHEVC:
			kind, baseLayer := es[0]>>1&0x3F, es[0]&1 == 0 && es[1]>>3 == 0
			slice, first = baseLayer && kind <= hevcLastSlice, es[2]&0x80 != 0 // first_slice_segment_in_pic_flag
			inFront = baseLayer && (kind == hevcAUD || kind == hevcPrefixSEI)
		}
		if slice || !inFront {
			return slice && first
		}
		var codes startCodes
		end := codes.next(es)
		if end < 0 || sei && hasRecoveryPoint(trimStartCode(es[:end], false)) {
			return false
		}
		es = es[end:]
	}
	return false
}

// startCodeLen returns the length of the start code at the beginning of es: 3, 4 or 0 if there is none.
func startCodeLen(es []byte) int {
	switch v := binary.BigEndian.Uint32(es); {
	case v == 1:
		return 4
	case v>>8 == 1:
		return 3
	}
	return 0
}
