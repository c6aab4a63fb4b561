package mpegts

import (
	"encoding/binary"
	"time"
)

// Scanner follows a stream packet by packet and marks the packets. It follows the first program that has video, and
// looks at that program's first video stream; a program without video is marked at its first stream's PES packets.
// Before any PMT, the video is found by the PES headers.
//
// In MPEG-1 and MPEG-2 video, H.264 and HEVC the elementary stream says where access units begin and which of them
// are keyframes. In other codecs each PES packet is an access unit, and random_access_indicator marks the keyframes.
//
// The zero value is ready to use. It holds 2 KiB, and what a stream sends as parameter sets, 16 KiB at most.
type Scanner struct {
	// ReceivedAt is when the next packets were received. Where it is set, a pause of the stream is not taken for a
	// jump of its clock.
	ReceivedAt time.Time

	skip         uint16 // followed.PID if packets without unit start say nothing new, else 0
	quick        bool   // most PES packets may be marked by quickPicture
	followed     Stream // its PID is 0: none
	followsVideo bool
	reading      bool // the elementary stream of the PES packet is being read
	begun        bool // an access unit of the video has come
	waiting      int  // how many packets have passed from the one that is undecided, with it; 0: none is

	mark     Mark // of the packet that is being scanned
	decision Mark
	change   Change

	pes   pesState
	unit  unitState
	au    accessUnit
	sets  setStore
	trust trust
	clock clockState

	programs programs
}

// maxWait is the number of packets after which an undecided packet is decided with what is known.
const maxWait = 16

// Packet marks the next packet of the stream.
func (s *Scanner) Packet(p Packet) Mark {
	pid := p.PID()
	switch {
	case s.skip == 0:
		if s.reading && pid == s.followed.PID && s.isWithinUnit(p) {
			return 0
		}
	case pid != s.skip:
		if s.isBesideVideo(pid) {
			return 0
		}
	case s.quick && p.PayloadUnitStart() && s.quickPicture(p):
		return s.mark
	}
	return s.packet(pid, p)
}

// packet marks a packet in the long way, which is right for all.
func (s *Scanner) packet(pid uint16, p Packet) Mark {
	s.mark, s.change = 0, 0
	if s.waiting > 0 {
		s.waiting++
	}
	s.scan(pid, p)
	if s.mark&(RandomAccess|MissesSets) == RandomAccess && len(s.sets.start.sets) == 0 && s.trust.established() {
		s.sets.start.remember(s.unit.codec, p.elementaryStream())
	}
	switch {
	case s.waiting == 1:
		s.mark |= Undecided
	case s.waiting >= maxWait:
		s.giveUp()
	}
	if s.change != 0 {
		s.mark |= Changed
	}
	s.setPaths()
	return s.mark
}

// setPaths says what the next packets need not go through.
func (s *Scanner) setPaths() {
	s.skip = s.followed.PID
	if s.reading || s.waiting > 0 {
		s.skip = 0
	}
	s.quick = s.skip != 0 && s.followsVideo && s.trust.established() && !s.au.open && !s.clock.gap &&
		!s.unit.interlaced
}

// scan marks a packet.
func (s *Scanner) scan(pid uint16, p Packet) {
	switch {
	case pid == s.followed.PID && pid != PIDPAT:
		if s.followsVideo {
			s.scanVideo(p)
		} else if p.PayloadUnitStart() {
			s.markOther(pid, p)
		}
	case pid == PIDPAT:
		s.readPAT(p)
	case s.programs.pmtPIDs.has(pid):
		s.readPMT(pid, p)
	case pid == PIDNull, pid < pidFirstFree && !s.programs.carries(pid):
		s.mark = PSI
	case !s.followsVideo && p.PayloadUnitStart() && s.findVideo(pid, p):
		s.scanVideo(p)
	}
}

// markOther marks a packet in which a PES packet of a program without known video begins.
func (s *Scanner) markOther(pid uint16, p Packet) {
	if s.findVideo(pid, p) {
		s.scanVideo(p)
		return
	}
	if s.isRepeated(p) {
		return
	}
	s.mark = RandomAccess
	s.pes = newPES(p)
	s.clock.gap = s.clock.gap || p.Discontinuity()
	s.clock.check(&s.pes, s)
}

// Decision returns the mark of the packet that was Undecided last, after a mark with Decided.
func (s *Scanner) Decision() Mark { return s.decision }

// Decide decides an undecided packet with what is known, for a caller that does not want to wait for more packets. It
// returns false when none is undecided.
func (s *Scanner) Decide() (Mark, bool) {
	if s.waiting == 0 {
		return 0, false
	}
	s.mark = 0
	s.waiting++ // the packet is not one that is being scanned
	s.giveUp()
	s.setPaths()
	return s.decision, true
}

// Change returns what changes with the packet that was marked Changed last. If the mark has Decided set as well, the
// change is with the packet that was Undecided.
func (s *Scanner) Change() Change { return s.change }

// MissingSets returns the parameter sets that must be put in front of the packet that was marked RandomAccess last,
// or that Decision says is RandomAccess, where decoding starts there. It returns nil when the access unit has them
// itself.
func (s *Scanner) MissingSets() *ParameterSets {
	if !s.au.missesSets {
		return nil
	}
	return s.sets.all()
}

// Followed returns the elementary stream by which packets are marked, and whether it is known to be video. A stream
// that is neither video nor audio is marked at each of its PES packets: cuts fall anywhere. Type is 0 when nothing
// names the stream's type; ok is false, and stream means nothing, while nothing is followed.
func (s *Scanner) Followed() (stream Stream, video, ok bool) {
	return s.followed, s.followsVideo, s.followed.PID != 0
}

// SkipPayload returns the length of the whole packets at the start of b, which must begin with a packet, that carry
// nothing but the middle of a PES packet of the video that is followed, or payload of another stream. Most packets are
// such. They need not be passed to Packet, which would return no mark for them.
func (s *Scanner) SkipPayload(b []byte) (n int) {
	if s.skip == 0 {
		return 0
	}
	const (
		fields  = 0xFF<<24 | 0x40<<16 | 0x1FFF<<8 | 0x30 // sync byte, unit start, PID, adaptation field and payload
		pid     = 0x1FFF << 8
		stuffed = 0x20
		none    = SyncByte<<24 | 0x10
		two     = 2 * PacketSize
	)
	header := none | uint32(s.skip)<<8
	rest := b
	for len(rest) >= PacketSize {
		h := binary.BigEndian.Uint32(rest)
		switch d := (h ^ header) & fields; {
		case d == 0:
			for len(rest) >= two+PacketSize { // this is what most packets cost
				first := binary.BigEndian.Uint32(rest[PacketSize:])
				second := binary.BigEndian.Uint32(rest[two:])
				if ((first^header)|(second^header))&fields != 0 {
					break
				}
				rest = rest[two:]
			}
		case d == stuffed && isStuffing(rest): // the last packet of most PES packets
		case d&pid != 0 && s.isOther(h, rest):
		default:
			return len(b) - len(rest)
		}
		rest = rest[PacketSize:]
	}
	return len(b) - len(rest)
}

// isStuffing reports whether the adaptation field of a packet with payload says nothing that matters: neither a gap nor
// a PCR.
func isStuffing(p []byte) bool {
	const discontinuity, pcr = 0x80, 0x10
	return p[4] == 0 || p[5]&(discontinuity|pcr) == 0
}

// isOther reports whether p, whose header is given, is payload of a stream that does not matter beside the video.
func (s *Scanner) isOther(header uint32, p []byte) bool {
	const sync, both, payload = 0xFF << 24, 0x30, 0x10
	if header&sync != SyncByte<<24 || header&payload == 0 || header&both == both && !isStuffing(p) {
		return false
	}
	return s.isBesideVideo(uint16(header >> 8 & 0x1FFF))
}

// isBesideVideo reports whether a PID is neither that of the video nor one that may carry tables. It is to be called
// only while skip is set.
func (s *Scanner) isBesideVideo(pid uint16) bool {
	return s.followsVideo && pid != s.skip && pid >= pidFirstFree && pid != PIDNull && !s.programs.pmtPIDs.has(pid)
}

// AppendMarks appends the mark of each packet of b, which is whole packets. None of them is left undecided: what b
// does not tell is decided with what is known at its end.
func (s *Scanner) AppendMarks(dst []Mark, b []byte) []Mark {
	undecided := -1
	for len(b) >= PacketSize {
		if n := s.SkipPayload(b); n > 0 {
			for range n / PacketSize {
				dst = append(dst, 0)
			}
			b = b[n:]
			continue
		}
		mark := s.Packet(b[:PacketSize])
		if mark&Decided != 0 && undecided >= 0 {
			dst[undecided] = s.decision
		}
		if mark&Undecided != 0 {
			undecided = len(dst)
		}
		dst = append(dst, mark&^(Undecided|Decided))
		b = b[PacketSize:]
	}
	if mark, ok := s.Decide(); ok {
		dst[undecided] = mark
	}
	return dst
}
