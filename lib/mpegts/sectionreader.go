package mpegts

import "encoding/binary"

// sectionReader puts together the sections that the packets of one PID carry (ISO/IEC 13818-1, 2.4.4).
type sectionReader struct {
	buf     []byte // the beginning of a section
	open    bool   // more packets are needed to complete it
	counter uint8  // continuity counter of the last packet
}

// read takes the next packet of the PID and calls each for every section that the packet completes. A section is
// valid during the call only. cutShort reports that the section which began in an earlier packet does not end as it
// should, malformed that what begins in this packet is no section.
func (r *sectionReader) read(p Packet, each func(section []byte)) (cutShort, malformed bool) {
	b, last := p.Payload(), r.counter
	r.counter = p.Continuity()
	if !p.PayloadUnitStart() {
		if !r.open || r.counter == last { // sent twice, or without payload
			return false, false
		}
		r.buf = append(r.buf, b...)
		return !r.take(each), false
	}
	if len(b) == 0 || 1+int(b[0]) > len(b) {
		r.open = false
		return false, true
	}
	pointer := int(b[0]) // pointer_field: how many bytes belong to the section before
	if r.open {
		r.buf = append(r.buf, b[1:1+pointer]...)
		cutShort = !r.take(each) || r.open
	}
	r.buf = append(r.buf[:0], b[1+pointer:]...)
	return cutShort, !r.take(each)
}

// take calls each for the whole sections at the start of buf. It returns false when what follows is no section.
func (r *sectionReader) take(each func([]byte)) bool {
	const stuffing = 0xFF
	b := r.buf
	for len(b) >= 3 && b[0] != stuffing {
		n := 3 + int(binary.BigEndian.Uint16(b[1:])&0x0FFF)
		if n > maxSection {
			r.open = false
			return false
		}
		if len(b) < n {
			break
		}
		each(b[:n])
		b = b[n:]
	}
	r.open = len(b) > 0 && b[0] != stuffing
	r.buf = append(r.buf[:0], b...)
	return true
}

// appendSection appends the packets that carry a section, with counters from 0.
func appendSection(dst []byte, pid uint16, section []byte) []byte {
	const pointer = 0
	dst = append(dst, SyncByte, 0x40|byte(pid>>8), byte(pid), 0x10, pointer)
	room := PacketSize - 5
	for counter := byte(1); len(section) > room; counter++ {
		dst = append(dst, section[:room]...)
		section = section[room:]
		dst = append(dst, SyncByte, byte(pid>>8), byte(pid), 0x10|counter&0x0F)
		room = PacketSize - 4
	}
	dst = append(dst, section...)
	for range room - len(section) {
		dst = append(dst, 0xFF)
	}
	return dst
}
