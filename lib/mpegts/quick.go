package mpegts

import "encoding/binary"

// quickPicture marks the packet in which a PES packet of the video begins if it is like most of them: one access unit
// with nothing special in front of its first slice, at the time when the next one was to come; or a keyframe with the
// same parameter sets as the one before. It returns false, and has done nothing, for all others. It exists for speed
// alone: scanVideo would give the same mark.
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
	es, mark := h[9+int(h[8]):], AccessUnit|1<<unitsShift
	switch start := &s.sets.start; {
	case start.mayBegin(es) && start.begins(s.unit.codec, es):
		mark |= RandomAccess | 1<<keyframesShift
	case !plainPicture(s.unit.codec, es):
		return false
	}
	s.trust.dts = dts
	s.clock.dts, s.clock.at = dts, s.ReceivedAt
	s.au.number++
	s.au.missesSets = false
	s.pes.counter, s.pes.tail, s.pes.dts, s.pes.hasDTS = p.Continuity(), p.tail(), dts, true
	s.mark, s.change = mark, 0
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
		return es[0] == pictureStart && es[2]>>3&7 != mpegIntra
	}
	switch unit := firstUnit(c, es); {
	case unit == nil:
		return false
	case c == codecH264:
		return unit[0]&0x1F == h264Slice && unit[1]&0x80 != 0 // first_mb_in_slice is 0
	default:
		const firstSegment = 0x80 // first_slice_segment_in_pic_flag
		return isBaseLayer(unit) && unit[0]>>1&0x3F <= hevcLastSlice && unit[2]&firstSegment != 0
	}
}

// firstUnit returns the first NAL unit of es that is neither an access unit delimiter nor an SEI message, from 3 bytes
// on. Es begins after a start code. It returns nil if there is none, or a recovery point in front of it.
func firstUnit(c codec, es []byte) []byte {
	es = skipDelimiter(c, es)
	for len(es) >= 3 {
		sei := c == codecH264 && es[0]&0x1F == h264SEI
		switch c {
		case codecH264:
			if !sei && es[0]&0x1F != h264AUD {
				return es
			}
		default:
			if kind := es[0] >> 1 & 0x3F; kind != hevcAUD && kind != hevcPrefixSEI || !isBaseLayer(es) {
				return es
			}
		}
		var codes startCodes
		end := codes.next(es)
		if end < 0 || sei && hasRecoveryPoint(trimStartCode(es[:end], false)) {
			return nil
		}
		es = es[end:]
	}
	return nil
}

// skipDelimiter returns what follows the access unit delimiter with which es begins, after a start code; es if it
// begins with something else. The loop of firstUnit would do it too, but this is how most pictures begin.
func skipDelimiter(c codec, es []byte) []byte {
	length, kind := 2, byte(h264AUD)
	if c == codecHEVC {
		length, kind = 3, hevcAUD<<1
	}
	if len(es) < length+4 || es[0] != kind {
		return es
	}
	if n := startCodeLen(es[length:]); n > 0 {
		return es[length+n:]
	}
	return es
}

// isBaseLayer reports whether a NAL unit of HEVC has nuh_layer_id 0.
func isBaseLayer(unit []byte) bool { return unit[0]&1 == 0 && unit[1]>>3 == 0 }

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
