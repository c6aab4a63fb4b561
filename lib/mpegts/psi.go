package mpegts

import "encoding/binary"

// Table ids (ISO/IEC 13818-1, table 2-31).
const (
	tablePAT = 0x00
	tablePMT = 0x02
)

// maxSection is the longest PAT or PMT section in bytes: section_length is at most 1021.
const maxSection = 3 + 1021

// StreamType says what an elementary stream carries (ISO/IEC 13818-1, table 2-34).
type StreamType uint8

// Stream types that vw looks into.
const (
	StreamMPEG1Video StreamType = 0x01
	StreamMPEG2Video StreamType = 0x02
	StreamH264       StreamType = 0x1B
	StreamHEVC       StreamType = 0x24

	streamUnknown StreamType = 0x00
)

// IsVideo reports whether the stream type is a video codec's.
func (t StreamType) IsVideo() bool {
	switch t {
	case StreamMPEG1Video, StreamMPEG2Video, StreamH264, StreamHEVC,
		0x10, 0x1E, 0x1F, 0x20, 0x21, 0x33, 0x42, 0xD1, 0xD2, 0xEA:
		return true
	}
	return false
}

// Stream is one elementary stream of a program.
type Stream struct {
	PID  uint16
	Type StreamType
}

// assembler puts the sections of one PID together.
type assembler struct {
	packets []byte // those that carry the section, from its start
	section []byte
	open    bool
}

// add takes the next packet of the PID and returns the section that it completes, or nil. Of several sections that
// begin in one packet only the first is read: a PAT or a PMT is one section in all but the largest multiplexes.
func (a *assembler) add(p Packet) []byte {
	b := p.Payload()
	if p.PayloadUnitStart() {
		a.packets, a.section, a.open = a.packets[:0], a.section[:0], false
		if len(b) == 0 || 1+int(b[0]) >= len(b) {
			return nil
		}
		b = b[1+int(b[0]):] // pointer_field
		a.open = true
	}
	if !a.open || len(a.section)+len(b) > maxSection+PacketSize {
		a.open = false
		return nil
	}
	a.packets = append(a.packets, p[:PacketSize]...)
	a.section = append(a.section, b...)
	if len(a.section) < 3 {
		return nil
	}
	n := 3 + int(binary.BigEndian.Uint16(a.section[1:])&0x0FFF)
	if n > maxSection {
		a.open = false
		return nil
	}
	if len(a.section) < n {
		return nil
	}
	a.open = false
	return a.section[:n]
}

// sectionBody checks a PAT's or PMT's section and returns what stands between its header and its CRC. It answers nil
// for another table, one that is not yet in force, and one whose CRC is wrong.
func sectionBody(section []byte, table byte) []byte {
	const header, crc = 8, 4
	if len(section) < header+crc || section[0] != table || section[1]&0x80 == 0 || section[5]&0x01 == 0 {
		return nil
	}
	if CRC32(section) != 0 {
		return nil
	}
	return section[header : len(section)-crc]
}

// parsePAT returns the PIDs of the PMTs.
func parsePAT(section []byte) []uint16 {
	var maps []uint16
	for b := sectionBody(section, tablePAT); len(b) >= 4; b = b[4:] {
		if program := binary.BigEndian.Uint16(b); program != 0 { // 0 is the network's PID
			maps = append(maps, binary.BigEndian.Uint16(b[2:])&0x1FFF)
		}
	}
	return maps
}

// parsePMT returns the elementary streams of a program, in the order of the table.
func parsePMT(section []byte) []Stream {
	b := sectionBody(section, tablePMT)
	if len(b) < 4 {
		return nil
	}
	info := int(binary.BigEndian.Uint16(b[2:]) & 0x0FFF)
	if 4+info > len(b) {
		return nil
	}
	var streams []Stream
	for b = b[4+info:]; len(b) >= 5; {
		streams = append(streams, Stream{
			PID:  binary.BigEndian.Uint16(b[1:]) & 0x1FFF,
			Type: StreamType(b[0]),
		})
		info := int(binary.BigEndian.Uint16(b[3:]) & 0x0FFF)
		if 5+info > len(b) {
			break
		}
		b = b[5+info:]
	}
	return streams
}

// CRC32 is the CRC of ISO/IEC 13818-1, annex A: polynomial 0x04C11DB7, most significant bit first, all ones at the
// start, nothing inverted. Over a section with its CRC it is 0. (hash/crc32 has the other bit order.)
func CRC32(b []byte) uint32 {
	crc := ^uint32(0)
	for _, x := range b {
		crc = crc<<8 ^ crcTable[byte(crc>>24)^x]
	}
	return crc
}

var crcTable = func() (table [256]uint32) {
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			carry := crc & 0x80000000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x04C11DB7
			}
		}
		table[i] = crc
	}
	return table
}()
