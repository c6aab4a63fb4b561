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
// with no more than an access unit delimiter in front.
func plainPicture(c codec, es []byte) bool {
	n := startCodeLen(es)
	if n == 0 {
		return false
	}
	switch c {
	case codecMPEG:
		const intra = 1
		return es[n] == pictureStart && es[n+2]>>3&7 != intra
	case codecH264:
		if es[n] == h264AUD {
			es = es[n+2:]
			if n = startCodeLen(es); n == 0 {
				return false
			}
		}
		return es[n]&0x1F == h264Slice && es[n+1]&0x80 != 0 // first_mb_in_slice is 0
	case codecHEVC:
		if es[n] == hevcAUD<<1 && es[n+1] == 1 {
			es = es[n+3:]
			if n = startCodeLen(es); n == 0 {
				return false
			}
		}
		return es[n]>>1 <= hevcLastSlice && es[n]&1 == 0 && es[n+1]>>3 == 0 && es[n+2]&0x80 != 0
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
