package mpegts

import "encoding/binary"

// sections takes the sections of one PID apart, for a check: all of those in a packet, and those that are broken.
type sections struct {
	buf   []byte
	open  bool // buf is the start of a section
	began spot // where
}

// spot is a packet's place in the stream.
type spot struct {
	offset, number int64
	head           [noted]byte // of the packet
}

// add takes the next packet of the PID, calls each for every whole section, and reports whether one was cut short or
// cannot be one, and where the first such began.
func (s *sections) add(p Packet, at spot, each func(section []byte)) (where spot, broken bool) {
	b := p.Payload()
	if p.PayloadUnitStart() {
		if len(b) == 0 || 1+int(b[0]) > len(b) {
			s.open = false
			return at, true
		}
		pointer := int(b[0])
		if s.open {
			s.buf = append(s.buf, b[1:1+pointer]...)
			where, broken = s.began, s.take(each) || s.open
		}
		s.buf, s.open, s.began = append(s.buf[:0], b[1+pointer:]...), true, at
	} else if s.open {
		s.buf = append(s.buf, b...)
	} else {
		return at, false
	}
	if s.take(each) && !broken {
		return s.began, true
	}
	return where, broken
}

// take hands the whole sections at the start of buf to each.
func (s *sections) take(each func([]byte)) (broken bool) {
	b := s.buf
	for len(b) > 0 && b[0] != 0xFF { // stuffing (ISO/IEC 13818-1, 2.4.4)
		if len(b) < 3 {
			break
		}
		n := 3 + int(binary.BigEndian.Uint16(b[1:])&0x0FFF)
		if n > maxSection {
			s.open = false
			return true
		}
		if len(b) < n {
			break
		}
		each(b[:n])
		b = b[n:]
	}
	s.open = len(b) > 0 && b[0] != 0xFF
	s.buf = append(s.buf[:0], b...)
	return false
}

// table checks a packet of the PAT or of a PMT.
func (c *Checker) table(pid uint16, s *sections, p Packet, number int64) {
	where, wrong := s.add(p, spot{c.offset, number, [noted]byte(p)}, func(section []byte) {
		switch {
		case CRC32(section) != 0:
			c.f.TableErrors++
			c.note("table", p, "at byte %d (packet %d, PID 0x%04x): wrong CRC", c.offset, number, pid)
		case pid == PIDPAT && section[0] == tablePAT:
			c.f.PATs++
			for _, pmt := range parsePAT(section) {
				if c.tables[pmt] == nil && len(c.tables) <= maxPrograms {
					c.tables[pmt] = new(sections)
				}
			}
		case pid != PIDPAT && section[0] == tablePMT:
			c.f.PMTs++
			if body := sectionBody(section, tablePMT); len(body) >= 2 {
				pcr := binary.BigEndian.Uint16(body) & 0x1FFF
				c.clocks.named = c.clocks.named || pcr != PIDNull
				c.clocks.stops.name(pid, pcr)
			}
		}
	})
	if wrong {
		c.f.TableErrors++
		c.note("table", where.head[:], "at byte %d (packet %d, PID 0x%04x): a section is cut short", where.offset, where.number, pid)
	}
}
