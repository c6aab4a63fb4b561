package mpegts

import "encoding/binary"

// checkedPSI reads the sections of the PAT's PID or of a PMT's.
type checkedPSI struct {
	sectionReader
	began location // of the packet in which the open section begins
}

// location is the place of a packet in the stream.
type location struct {
	offset, number int64
	sample         [sampleLen]byte // the first bytes of the packet
}

// checkPSI checks a packet of the PAT or of a PMT.
func (c *Checker) checkPSI(pid uint16, psi *checkedPSI, p Packet, number int64) {
	here := location{c.offset, number, [sampleLen]byte(p)}
	cutShort, malformed := psi.read(p, func(section []byte) { c.checkSection(pid, section, here) })
	if cutShort || malformed {
		where := here
		if cutShort {
			where = psi.began
		}
		c.report.TableErrors++
		c.record(tableProblem, where.sample[:], "at byte %d (packet %d, PID 0x%04x): a section is cut short",
			where.offset, where.number, pid)
	}
	if p.PayloadUnitStart() {
		psi.began = here
	}
}

func (c *Checker) checkSection(pid uint16, section []byte, here location) {
	switch {
	case CRC32(section) != 0:
		c.report.TableErrors++
		c.record(tableProblem, here.sample[:], "at byte %d (packet %d, PID 0x%04x): wrong CRC",
			here.offset, here.number, pid)
	case pid == PIDPAT && section[0] == tablePAT:
		c.report.PATs++
		for _, program := range parsePAT(section) {
			if c.psi[program.pid] == nil && len(c.psi) <= maxPrograms {
				c.psi[program.pid] = new(checkedPSI)
			}
		}
	case pid != PIDPAT && section[0] == tablePMT:
		c.report.PMTs++
		if body := sectionBody(section, tablePMT); len(body) >= 2 {
			pcr := binary.BigEndian.Uint16(body) & 0x1FFF
			c.clocks.pcrExpected = c.clocks.pcrExpected || pcr != PIDNull
		}
	}
}
