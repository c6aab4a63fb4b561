// Package mpegts reads MPEG transport streams (ISO/IEC 13818-1) packet by packet. A Scanner finds access units and
// the places where decoding can start, a Checker finds what is wrong with a stream. The package does no I/O: the
// caller reads the bytes.
package mpegts

// PacketSize is the length of a transport packet in bytes (ISO/IEC 13818-1, 2.4.3.2).
const PacketSize = 188

// SyncByte begins every packet.
const SyncByte = 0x47

// PIDs with a fixed meaning (ISO/IEC 13818-1, table 2-3).
const (
	PIDPAT  = 0x0000
	PIDNull = 0x1FFF

	// pidFirstFree is the first PID that a program may use; those below carry tables (DVB's among them).
	pidFirstFree = 0x0020
)

// NumPIDs is the number of PIDs.
const NumPIDs = 0x2000

// Packet is one transport packet: PacketSize bytes that begin with SyncByte. Its methods never fail: a field that a
// broken packet does not have is absent.
type Packet []byte

// PID returns the packet identifier, 0 to 0x1FFF.
func (p Packet) PID() uint16 { return uint16(p[1]&0x1F)<<8 | uint16(p[2]) }

// PayloadUnitStart reports payload_unit_start_indicator: a PES packet or a section begins in the packet.
func (p Packet) PayloadUnitStart() bool { return p[1]&0x40 != 0 }

// Continuity returns continuity_counter, 0 to 15.
func (p Packet) Continuity() uint8 { return p[3] & 0x0F }

// HasPayload reports whether the packet carries payload. The continuity counter advances only then.
func (p Packet) HasPayload() bool { return p[3]&0x10 != 0 }

// Scrambled reports whether the payload is encrypted.
func (p Packet) Scrambled() bool { return p[3]&0xC0 != 0 }

// adaptation returns the adaptation field without its length byte, nil if there is none or it is empty.
func (p Packet) adaptation() []byte {
	if p[3]&0x20 == 0 {
		return nil
	}
	n := int(p[4])
	if n == 0 || 5+n > PacketSize {
		return nil
	}
	return p[5 : 5+n]
}

// Discontinuity reports discontinuity_indicator: the continuity counter, and on a PCR PID the clock, may jump here.
func (p Packet) Discontinuity() bool {
	a := p.adaptation()
	return a != nil && a[0]&0x80 != 0
}

// RandomAccess reports random_access_indicator: the muxer says that decoding of the PID can start here.
func (p Packet) RandomAccess() bool {
	a := p.adaptation()
	return a != nil && a[0]&0x40 != 0
}

// Payload returns the bytes after the header and the adaptation field, nil if there are none.
func (p Packet) Payload() []byte {
	if !p.HasPayload() {
		return nil
	}
	start := 4
	if p[3]&0x20 != 0 {
		start = 5 + int(p[4])
	}
	if start >= PacketSize {
		return nil
	}
	return p[start:PacketSize]
}

// AppendDiscontinuity appends the packet that announces a gap on the PID of next, the first packet after the gap. It
// has an adaptation field only, with discontinuity_indicator set, and the continuity counter that next continues
// (ISO/IEC 13818-1, 2.4.3.4 and 2.4.3.5).
func AppendDiscontinuity(dst []byte, next Packet) []byte {
	counter := next.Continuity()
	if next.HasPayload() {
		counter = (counter - 1) & 0x0F
	}
	const adaptationLength = PacketSize - 5
	dst = append(dst, SyncByte, next[1]&0x1F, next[2], 0x20|counter, adaptationLength, 0x80)
	for range adaptationLength - 1 {
		dst = append(dst, 0xFF)
	}
	return dst
}
