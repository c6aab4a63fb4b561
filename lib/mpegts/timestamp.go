package mpegts

import "time"

// Rates and range of the stream's clocks (ISO/IEC 13818-1, 2.4.2).
const (
	// ClockRate is the rate of PTS, DTS and PCR base, in Hz.
	ClockRate = 90000
	// ClockModulus is where PTS, DTS and PCR base wrap to 0, after about 26.5 hours.
	ClockModulus = 1 << 33
)

// PTS returns the presentation timestamp of the PES packet that begins in p, in units of 1/ClockRate s, below
// ClockModulus. It returns false when no PES packet begins in p, or one without a PTS.
func (p Packet) PTS() (uint64, bool) {
	h := p.pesHeader()
	if len(h) < 14 || h[7]&0x80 == 0 {
		return 0, false
	}
	return timestamp(h[9:14]), true
}

// DTS returns the decoding timestamp of the PES packet that begins in p: the PTS when it has no DTS of its own.
func (p Packet) DTS() (uint64, bool) {
	h := p.pesHeader()
	if len(h) < 19 || h[7]&0xC0 != 0xC0 {
		return p.PTS()
	}
	return timestamp(h[14:19]), true
}

// PCR returns the program clock reference in p, in units of 1/ClockRate s, below ClockModulus (without the
// 27 MHz extension).
func (p Packet) PCR() (uint64, bool) {
	a := p.adaptation()
	if len(a) < 7 || a[0]&0x10 == 0 {
		return 0, false
	}
	return uint64(a[1])<<25 | uint64(a[2])<<17 | uint64(a[3])<<9 | uint64(a[4])<<1 | uint64(a[5])>>7, true
}

// ClockDiff returns to minus from in units of 1/ClockRate s, the shorter way round the wrap.
func ClockDiff(to, from uint64) int64 {
	d := int64((to - from) & (ClockModulus - 1))
	if d >= ClockModulus/2 {
		d -= ClockModulus
	}
	return d
}

// Ticks returns d in units of 1/ClockRate s, rounded towards 0. Any d will do: d*ClockRate would overflow after a day.
func Ticks(d time.Duration) int64 {
	return int64(d/time.Second)*ClockRate + int64(d%time.Second)*ClockRate/int64(time.Second)
}

// timestamp decodes the 33 bits that five bytes of a PES header carry (ISO/IEC 13818-1, 2.4.3.7).
func timestamp(b []byte) uint64 {
	return uint64(b[0]>>1&0x07)<<30 | uint64(b[1])<<22 | uint64(b[2]>>1)<<15 | uint64(b[3])<<7 | uint64(b[4])>>1
}

// pesHeader returns the payload of p when a PES packet with the optional header begins in it, else nil. Its fields
// may be cut off by the end of the packet.
func (p Packet) pesHeader() []byte {
	if !p.PayloadUnitStart() || p.Scrambled() {
		return nil
	}
	b := p.Payload()
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[6]&0xC0 != 0x80 {
		return nil
	}
	return b
}

// elementaryStream returns the bytes of the elementary stream that follow the PES header in p.
func (p Packet) elementaryStream() []byte {
	h := p.pesHeader()
	if h == nil || 9+int(h[8]) >= len(h) {
		return nil
	}
	return h[9+int(h[8]):]
}
