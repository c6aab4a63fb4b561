// Package remux takes the video of an MPEG transport stream apart and puts it together in the other ways that muxers
// have. It is for tests: streams come from encoders, and this makes of each what cameras, receivers and other muxers
// would.
//
// It is vw's own and may change.
package remux

import (
	"bytes"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Flags says which access units have random_access_indicator.
type Flags int

// The ways in which muxers set random_access_indicator.
const (
	FlagKeyframes Flags = iota
	FlagNever
	FlagAlways
)

// Layout says how access units are put into PES packets.
type Layout int

// The ways in which muxers make PES packets.
const (
	FramePerPES Layout = iota
	NALPerPES
	TwoFramesPerPES
	HeaderAlone // the first packet of each PES packet has the PES header only
	FieldPerPES // of H.264 with access unit delimiters, or of MPEG-2 video
)

// Options say how to put a stream together.
type Options struct {
	Codec  mpegts.StreamType
	Flags  Flags
	Layout Layout
	// HeadersOnce leaves the parameter sets out after the first access unit.
	HeadersOnce bool
}

// Unit is a packet that is not of the video, or a PES packet of it.
type Unit struct {
	other    []byte // whole packets
	pes      []byte // PES header, without length
	es       []byte
	pcr      []byte // the 6 bytes of a PCR in its first packet, or nil
	keyframe bool   // the muxer that made it said so
}

// Stream puts the packets of b together in another way. The PES packets of the video's PID must hold one frame each.
func Stream(b []byte, video uint16, o Options) []byte {
	units := parse(b, video)
	if o.HeadersOnce {
		units = headersOnce(units, o.Codec)
	}
	switch o.Layout {
	case NALPerPES:
		units = splitUnits(units, o.Codec)
	case TwoFramesPerPES:
		units = pairs(units)
	case FieldPerPES:
		units = splitFields(units, o.Codec)
	}
	return write(units, video, o)
}

func parse(b []byte, video uint16) (units []Unit) {
	open := -1 // of units: the PES packet that is not complete
	for ; len(b) >= mpegts.PacketSize; b = b[mpegts.PacketSize:] {
		p := mpegts.Packet(b[:mpegts.PacketSize])
		payload := p.Payload()
		switch {
		case p.PID() != video:
			units = append(units, Unit{other: p})
		case p.PayloadUnitStart():
			header := payload[:9+int(payload[8])]
			u := Unit{pes: bytes.Clone(header), es: bytes.Clone(payload[len(header):]), keyframe: p.RandomAccess()}
			if _, ok := p.PCR(); ok {
				u.pcr = p[6:12]
			}
			open = len(units)
			units = append(units, u)
		case open >= 0:
			units[open].es = append(units[open].es, payload...)
		}
	}
	return units
}

// startCodes returns where start codes begin in es, with the zero byte that may be in front.
func startCodes(es []byte) (at []int) {
	for i := 0; i+3 < len(es); i++ {
		if es[i] == 0 && es[i+1] == 0 && es[i+2] == 1 {
			if i > 0 && es[i-1] == 0 {
				at = append(at, i-1)
			} else {
				at = append(at, i)
			}
			i += 2
		}
	}
	return at
}

// isSet reports whether the unit that begins with a start code is a parameter set, or a sequence header or its
// extension.
func isSet(unit []byte, codec mpegts.StreamType) bool {
	kind := bytes.TrimLeft(unit, "\x00")[1]
	switch codec {
	case mpegts.StreamH264:
		return kind&0x1F == 7 || kind&0x1F == 8
	case mpegts.StreamHEVC:
		return kind>>1 >= 32 && kind>>1 <= 34
	}
	if kind == 0xB5 {
		id := bytes.TrimLeft(unit, "\x00")[2] >> 4
		return id == 1 || id == 2
	}
	return kind == 0xB3
}

func cut(es []byte) (parts [][]byte) {
	at := startCodes(es)
	for i, from := range at {
		to := len(es)
		if i+1 < len(at) {
			to = at[i+1]
		}
		if i == 0 {
			from = 0
		}
		parts = append(parts, es[from:to])
	}
	return parts
}

func headersOnce(units []Unit, codec mpegts.StreamType) []Unit {
	first := true
	for i := range units {
		if units[i].other != nil {
			continue
		}
		if !first {
			var es []byte
			for _, part := range cut(units[i].es) {
				if !isSet(part, codec) {
					es = append(es, part...)
				}
			}
			units[i].es = es
		}
		first = false
	}
	return units
}

// splitUnits makes a PES packet of each NAL unit, or of each header that stands before a picture.
func splitUnits(units []Unit, codec mpegts.StreamType) (split []Unit) {
	for _, u := range units {
		if u.other != nil {
			split = append(split, u)
			continue
		}
		for i, part := range cut(u.es) {
			kind := bytes.TrimLeft(part, "\x00")[1]
			if codec == mpegts.StreamMPEG1Video || codec == mpegts.StreamMPEG2Video {
				if i > 0 && (kind > 0 && kind < 0xB0 || kind == 0xB5 || kind == 0xB2) {
					last := &split[len(split)-1]
					last.es = append(bytes.Clone(last.es), part...)
					continue
				}
			}
			next := Unit{pes: u.pes, es: part, keyframe: u.keyframe && i == 0}
			if i == 0 {
				next.pcr = u.pcr
			}
			split = append(split, next)
		}
	}
	return split
}

// splitFields makes a PES packet of each field, the second one half a frame later.
func splitFields(units []Unit, codec mpegts.StreamType) (split []Unit) {
	for _, u := range units {
		split = append(split, u)
		pictures, begins := 0, 0
		for _, part := range cut(u.es) {
			kind := bytes.TrimLeft(part, "\x00")[1]
			if codec == mpegts.StreamH264 && kind&0x1F == 9 || codec != mpegts.StreamH264 && kind == 0 {
				pictures++
			}
			if pictures == 2 {
				split[len(split)-1].es = u.es[:begins]
				split = append(split, Unit{pes: later(u.pes), es: u.es[begins:]})
				break
			}
			begins += len(part)
		}
	}
	return split
}

// later returns a PES header with the PTS half a frame later; without one if the header has none, or a DTS too.
func later(header []byte) []byte {
	const field = mpegts.ClockRate / 50
	h := bytes.Clone(header[:7])
	if header[7]&0xC0 != 0x80 {
		return append(h, 0, 0)
	}
	pts := uint64(header[9]>>1&7)<<30 | uint64(header[10])<<22 | uint64(header[11]>>1)<<15 |
		uint64(header[12])<<7 | uint64(header[13]>>1)
	pts += field
	return append(h, 0x80, 5, 0x21|byte(pts>>29)&0x0E, byte(pts>>22), 0x01|byte(pts>>14), byte(pts>>7),
		0x01|byte(pts<<1))
}

// pairs puts each second PES packet's frame into the PES packet before, but for keyframes, which begin one.
func pairs(units []Unit) (paired []Unit) {
	last := -1
	for _, u := range units {
		switch {
		case u.other != nil:
		case last >= 0 && !u.keyframe:
			paired[last].es = append(paired[last].es, u.es...)
			last = -1
			continue
		default:
			last = len(paired)
		}
		paired = append(paired, u)
	}
	return paired
}

func write(units []Unit, video uint16, o Options) (b []byte) {
	counter := byte(0)
	for _, u := range units {
		if u.other != nil {
			b = append(b, u.other...)
			continue
		}
		flagged := o.Flags == FlagAlways || o.Flags == FlagKeyframes && u.keyframe
		pes := append(bytes.Clone(u.pes), u.es...)
		pes[4], pes[5] = 0, 0 // of unbounded length
		if o.Layout == NALPerPES && len(pes)-6 <= 0xFFFF {
			pes[4], pes[5] = byte((len(pes)-6)>>8), byte(len(pes)-6)
		}
		for first := true; first || len(pes) > 0; first = false {
			var adaptation []byte
			if first && (flagged || u.pcr != nil) {
				adaptation = []byte{0}
				if flagged {
					adaptation[0] |= 0x40
				}
				if u.pcr != nil {
					adaptation[0] |= 0x10
					adaptation = append(adaptation, u.pcr...)
				}
			}
			n := len(pes)
			if first && o.Layout == HeaderAlone {
				n = len(u.pes)
			}
			var used int
			b, used = appendPacket(b, video, counter, first, adaptation, pes[:n])
			pes = pes[used:]
			counter = (counter + 1) & 0x0F
		}
	}
	return b
}

// appendPacket appends a packet with as much of payload as fits, and returns how much that is.
func appendPacket(b []byte, pid uint16, counter byte, start bool, adaptation, payload []byte) ([]byte, int) {
	room := mpegts.PacketSize - 4
	if adaptation != nil {
		room -= 1 + len(adaptation)
	}
	n := min(room, len(payload))
	if n < room && adaptation == nil {
		room--
		adaptation = []byte{}
		if n = min(room, len(payload)); n < room {
			room--
			adaptation = []byte{0}
		}
	}
	for ; n < room; room-- {
		adaptation = append(adaptation, 0xFF)
	}
	header := []byte{mpegts.SyncByte, byte(pid >> 8), byte(pid), 0x10 | counter}
	if start {
		header[1] |= 0x40
	}
	if adaptation != nil {
		header[3] |= 0x20
		header = append(append(header, byte(len(adaptation))), adaptation...)
	}
	return append(append(b, header...), payload[:n]...), n
}
