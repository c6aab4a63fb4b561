package mpegts

import "encoding/binary"

// Table ids (ISO/IEC 13818-1, table 2-31).
const (
	tablePAT = 0x00
	tablePMT = 0x02
)

// maxSection is the length of the longest PAT or PMT section in bytes: section_length is at most 1021.
const maxSection = 3 + 1021

// StreamType is the stream_type of an elementary stream: its codec (ISO/IEC 13818-1, table 2-34).
type StreamType uint8

// The stream types whose elementary streams a Scanner reads.
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

// parsePAT returns the PIDs of the PMTs that a PAT names.
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

// CRC32 returns the CRC of ISO/IEC 13818-1, annex A: polynomial 0x04C11DB7, most significant bit first, all ones at the
// start, nothing inverted. Of a section with its CRC it is 0. (hash/crc32 has the other bit order.)
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
