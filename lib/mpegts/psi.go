package mpegts

import "encoding/binary"

// Table ids (ISO/IEC 13818-1, table 2-31).
const (
	tablePAT = 0x00
	tablePMT = 0x02
)

// maxSection is the length of the longest PAT or PMT section in bytes: section_length is at most 1021.
const maxSection = 3 + 1021

// sectionBody returns what is between the header and the CRC of a PAT's or PMT's section. It returns nil for another
// table, for one that is not yet in force, and for one with a wrong CRC.
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

// patEntry is a program that a PAT names.
type patEntry struct {
	number uint16
	pid    uint16 // of its PMT
}

// parsePAT returns the programs that a PAT's section names.
func parsePAT(section []byte) []patEntry {
	var entries []patEntry
	for b := sectionBody(section, tablePAT); len(b) >= 4; b = b[4:] {
		if number := binary.BigEndian.Uint16(b); number != 0 { // 0 is the network's PID
			entries = append(entries, patEntry{number, binary.BigEndian.Uint16(b[2:]) & 0x1FFF})
		}
	}
	return entries
}

// programMap is what a PMT says.
type programMap struct {
	number  uint16
	pcrPID  uint16
	streams []Stream
}

// parsePMT reads a PMT's section. It returns false if it is none.
func parsePMT(section []byte) (programMap, bool) {
	b := sectionBody(section, tablePMT)
	if len(b) < 4 {
		return programMap{}, false
	}
	t := programMap{number: binary.BigEndian.Uint16(section[3:]), pcrPID: binary.BigEndian.Uint16(b) & 0x1FFF}
	info := int(binary.BigEndian.Uint16(b[2:]) & 0x0FFF)
	if 4+info > len(b) {
		return programMap{}, false
	}
	for b = b[4+info:]; len(b) >= 5; {
		stream := Stream{PID: binary.BigEndian.Uint16(b[1:]) & 0x1FFF, Type: StreamType(b[0])}
		info := int(binary.BigEndian.Uint16(b[3:]) & 0x0FFF)
		if 5+info <= len(b) {
			stream.described = describedCodec(b[5 : 5+info])
		}
		t.streams = append(t.streams, stream)
		b = b[min(5+info, len(b)):]
	}
	return t, true
}

// CRC32 returns the CRC of ISO/IEC 13818-1, annex A: polynomial 0x04C11DB7, most significant bit first, all ones at
// the start, nothing inverted. Of a section with its CRC it is 0. (hash/crc32 has the other bit order.)
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
