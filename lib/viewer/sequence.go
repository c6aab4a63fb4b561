package viewer

import "bytes"

// sequenceHeader is what a sequence header of MPEG-1 or MPEG-2 video says of the picture.
type sequenceHeader struct {
	width, height int
	mpeg2         bool // a sequence extension follows, which MPEG-1 does not have
}

// parseSequenceHeader finds the first sequence header in an elementary stream (ISO/IEC 11172-2, 2.4.2.3; ISO/IEC
// 13818-2, 6.2.2.1). It distinguishes MPEG-1 and MPEG-2, which ffmpeg's PMT does not.
func parseSequenceHeader(es []byte) (sequenceHeader, bool) {
	prefix := []byte{0, 0, 1}
	i := bytes.Index(es, append(prefix, 0xB3))
	if i < 0 || len(es) < i+12 {
		return sequenceHeader{}, false
	}
	b := es[i+4:]
	h := sequenceHeader{width: int(b[0])<<4 | int(b[1])>>4, height: int(b[1]&0x0F)<<8 | int(b[2])}
	next := bytes.Index(b[8:], prefix)
	if next < 0 || len(b) <= 8+next+3 {
		return sequenceHeader{}, false
	}
	h.mpeg2 = b[8+next+3] == 0xB5
	if h.mpeg2 && len(b) > 8+next+6 { // the size goes on in the extension
		x := b[8+next+4:]
		h.width |= (int(x[1]&0x01)<<1 | int(x[2])>>7) << 12
		h.height |= int(x[2]>>5&0x03) << 12
	}
	return h, h.width > 0 && h.height > 0
}
