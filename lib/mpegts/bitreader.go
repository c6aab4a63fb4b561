package mpegts

// bitReader reads the bits of a NAL unit and leaves out the emulation prevention bytes
// (ISO/IEC 14496-10, 7.3.1; ISO/IEC 23008-2, 7.3.1.1).
type bitReader struct {
	b       []byte
	zeros   int  // how many zero bytes precede b[0]
	current byte // bits that are left of the byte before b[0], on top
	left    int  // how many
	overrun bool // more bits were read than there are
}

func (r *bitReader) bit() uint32 {
	if r.left == 0 {
		r.current, r.left = r.byte(), 8
	}
	bit := uint32(r.current >> 7)
	r.current <<= 1
	r.left--
	return bit
}

// byte reads the next byte, and ignores what bits are left of the one before.
func (r *bitReader) byte() byte {
	if r.zeros >= 2 && len(r.b) > 0 && r.b[0] == 3 {
		r.b, r.zeros = r.b[1:], 0
	}
	if len(r.b) == 0 {
		r.overrun = true
		return 0
	}
	b := r.b[0]
	if r.b = r.b[1:]; b == 0 {
		r.zeros++
	} else {
		r.zeros = 0
	}
	return b
}

func (r *bitReader) bits(n int) (v uint32) {
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// ue reads an Exp-Golomb code (ISO/IEC 14496-10, 9.1).
func (r *bitReader) ue() uint32 {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; r.overrun || zeros > 31 {
			r.overrun = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}
