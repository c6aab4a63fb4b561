package mpegts

import (
	"bytes"
	"encoding/binary"
)

// pesState is the state of the PES packet of the video that came last.
type pesState struct {
	header  [19]byte // its first bytes
	have    int      // how many of them have come
	skip    int      // how many more bytes of the header follow
	ready   bool     // the header is complete
	begun   bool     // false before the first PES packet
	counter uint8    // continuity counter of the last packet
	tail    uint64   // the last bytes of the packet in which it begins
	flagged bool     // random_access_indicator

	pts, dts       uint64
	hasPTS, hasDTS bool

	atStart  bool // nothing of the elementary stream has come, or zeros only
	asked    bool // the packet in which it begins is undecided
	pictures int  // that began in it
	aligned  bool // it begins with an access unit
}

// accessUnit is the access unit that began last.
type accessUnit struct {
	number     uint32
	open       bool // its first picture has not come yet
	counted    bool // it was marked before its picture came
	fromPES    bool // it begins with a PES packet
	recovery   bool // it has a recovery point SEI message
	missesSets bool // it is a keyframe without all of its parameter sets
}

// newPES returns the state of a PES packet that begins in p.
func newPES(p Packet) (pes pesState) {
	pes.begun, pes.counter, pes.tail, pes.flagged = true, p.Continuity(), p.tail(), p.RandomAccess()
	pes.pts, pes.hasPTS = p.PTS()
	pes.dts, pes.hasDTS = p.DTS()
	return pes
}

// scanVideo marks a packet of the video's PID.
func (s *Scanner) scanVideo(p Packet) {
	if p.PayloadUnitStart() && s.isRepeated(p) {
		return
	}
	if p.Discontinuity() {
		s.clock.gap = true
		s.interrupt()
	}
	b := p.Payload()
	switch {
	case len(b) == 0:
		return
	case p.Scrambled():
		s.resolve(0)
		if s.reading = false; p.PayloadUnitStart() {
			s.pes = newPES(p)
			s.trust = trust{}
			s.markUnread(p.RandomAccess())
		}
		return
	case p.PayloadUnitStart():
		s.beginPES(p)
	case !s.reading:
		return
	case p.Continuity() == s.pes.counter:
		return // sent twice
	case p.Continuity() != (s.pes.counter+1)&0x0F:
		s.unit.inUnit, s.unit.codes.zeros = false, 0
	}
	s.pes.counter = p.Continuity()
	if !s.pes.ready {
		if b = s.readPESHeader(b); !s.pes.ready {
			return
		}
	}
	s.read(b)
}

// isRepeated reports whether the packet in which the last PES packet began is sent for the second time
// (ISO/IEC 13818-1, 2.4.3.3). Its PCR may be another one. Packets that follow it may have passed unseen.
func (s *Scanner) isRepeated(p Packet) bool {
	if !s.pes.begun || p.Continuity() != s.pes.counter || p.tail() != s.pes.tail {
		return false
	}
	dts, ok := p.DTS()
	return ok == s.pes.hasDTS && dts == s.pes.dts
}

// tail returns the last eight bytes of a packet. They are payload in most.
func (p Packet) tail() uint64 { return binary.BigEndian.Uint64(p[PacketSize-8:]) }

// isWithinUnit takes a packet that has nothing but the middle of a unit which needs not be known: most of those of a
// long SEI message are such. It returns false, and has done nothing, for all others. It exists for speed alone.
func (s *Scanner) isWithinUnit(p Packet) bool {
	const fields = 0x40<<16 | 0xF0 // unit start; scrambling, adaptation field and payload
	if s.unit.inUnit || !s.pes.ready || s.pes.atStart || s.waiting >= maxWait-1 ||
		binary.BigEndian.Uint32(p)&fields != 0x10 || p.Continuity() != (s.pes.counter+1)&0x0F ||
		bytes.IndexByte(p[4:PacketSize], 1) >= 0 {
		return false
	}
	if s.waiting > 0 {
		s.waiting++
	}
	s.pes.counter = p.Continuity()
	s.unit.codes.zeros = s.unit.codes.zerosAtEnd(p[4:PacketSize])
	return true
}

// interrupt forgets what a packet before has begun.
func (s *Scanner) interrupt() {
	s.resolve(0)
	s.unit.inUnit, s.unit.codes.zeros = false, 0
	s.unit.firstField, s.unit.mpeg.halfFrame = field{}, false
	s.reading, s.au.open = false, false
}

// beginPES begins a PES packet.
func (s *Scanner) beginPES(p Packet) {
	last := s.pes
	complete := s.reading && last.ready
	if !s.reading {
		s.unit.inUnit, s.unit.codes.zeros = false, 0
	}
	s.pes = newPES(p)
	s.pes.atStart = true
	s.reading = true
	s.trust.next(complete, last.aligned && last.pictures == 1, &s.pes)
	if !s.au.open {
		s.resolve(0)
	}
	s.clock.check(&s.pes, s)
	if s.au.open {
		// What comes up to the picture belongs to it, whatever timestamps a muxer gives to PES packets of parameter
		// sets.
		return
	}
	s.waiting, s.pes.asked = 1, true
	if s.unit.codec == codecOther {
		s.markUnreadPES(&last)
	}
}

// readPESHeader takes the bytes of the PES header off b.
func (s *Scanner) readPESHeader(b []byte) []byte {
	const fixed = 9
	h := &s.pes
	if h.have < fixed {
		n := copy(h.header[h.have:fixed], b)
		h.have += n
		if b = b[n:]; h.have < fixed {
			return nil
		}
		if h.header[0] != 0 || h.header[1] != 0 || h.header[2] != 1 || h.header[6]&0xC0 != 0x80 {
			s.resolve(0)
			s.reading = false
			return nil
		}
		h.skip = int(h.header[8])
	}
	n := min(h.skip, len(b))
	h.skip -= n
	h.ready = h.skip == 0
	return b[n:]
}

// markUnread marks the packet that begins a PES packet which cannot be read.
func (s *Scanner) markUnread(keyframe bool) {
	s.begun = true
	s.au.missesSets = false
	s.mark = s.mark.plusUnit(keyframe)
	if keyframe {
		s.mark |= RandomAccess
	}
}

// markUnreadPES decides a PES packet whose elementary stream cannot be read: it is an access unit unless its
// timestamps are those of the one before, and a keyframe if random_access_indicator says so.
func (s *Scanner) markUnreadPES(last *pesState) {
	var mark Mark
	h := &s.pes
	if !h.hasPTS || !last.hasPTS || h.pts != last.pts || h.dts != last.dts {
		mark = mark.plusUnit(h.flagged)
		if h.flagged {
			mark |= RandomAccess
		}
		s.begun = true
	}
	s.au.missesSets = false
	s.reading = false
	s.resolve(mark)
}

// resolve decides the packet that is undecided, if one is.
func (s *Scanner) resolve(mark Mark) {
	switch s.waiting {
	case 0:
		return
	case 1:
		s.mark |= mark // the packet that is being scanned
	default:
		s.mark |= Decided
		s.decision = mark
	}
	if s.change != 0 && s.waiting > 1 {
		s.decision |= Changed
	}
	s.waiting, s.pes.asked = 0, false
}

func (s *Scanner) markPicture(identity []byte, missesSets bool) {
	keyframe := len(identity) > 0
	if s.au.missesSets = missesSets; keyframe && s.sets.activate(identity) {
		s.change |= SetsChanged
	}
	var flags Mark
	if missesSets {
		flags = MissesSets
	}
	if !s.au.fromPES || s.waiting == 0 {
		s.mark = s.mark.plusUnit(keyframe) | flags
		return
	}
	if keyframe {
		flags |= RandomAccess
	}
	s.resolve(Mark(0).plusUnit(keyframe) | flags)
}

// giveUp decides the packet that is undecided without knowing its picture. An access unit begins in it if something
// has come that begins one. It is taken for a keyframe if it carries parameter sets: long SEI messages follow them.
func (s *Scanner) giveUp() {
	if s.au.open && s.au.fromPES && !s.au.counted {
		s.begun = true
		s.markPicture(s.sets.carried(s.au.number), false)
		s.au.counted = true
	} else {
		s.resolve(0)
	}
	s.passOver()
}

// read takes the next bytes of the elementary stream.
func (s *Scanner) read(b []byte) {
	if len(b) == 0 {
		return
	}
	if s.unit.codec == codecUnknown {
		if s.unit.codec = detectCodec(b); s.unit.codec == codecUnknown {
			s.markUnreadPES(&pesState{})
			return
		}
	}
	for s.reading {
		end := s.unit.codes.next(b)
		piece := b
		if end >= 0 {
			piece = b[:end]
		}
		if s.unit.inUnit {
			s.collect(piece, end >= 0)
		} else if s.pes.atStart && !onlyStartCode(piece, end >= 0) {
			s.continuePicture()
		}
		if end < 0 || !s.reading {
			return
		}
		s.unit.begin()
		b = b[end:]
	}
}

// onlyStartCode reports whether b is zeros, with the last byte of a start code prefix at their end if complete.
func onlyStartCode(b []byte, complete bool) bool {
	if complete {
		b = b[:len(b)-1]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// continuePicture says that what comes belongs to the access unit before: no other begins with this PES packet.
func (s *Scanner) continuePicture() {
	if s.pes.atStart && s.pes.asked {
		s.resolve(0)
	}
	s.pes.atStart = false
}

// boundary says that something comes which begins an access unit if it follows a picture.
func (s *Scanner) boundary() {
	if !s.au.open {
		s.au = accessUnit{
			number: s.au.number + 1, open: true,
			fromPES: s.pes.asked && s.pes.atStart,
		}
		s.pes.aligned = s.pes.aligned || s.au.fromPES
	}
	s.pes.atStart = false
}

// picture says that a picture begins, which is the first of its access unit. Identity stands for the parameter sets
// of a keyframe that can be decoded; in others it is nil. MissesSets says that it is a keyframe whose access unit
// does not carry its sets.
func (s *Scanner) picture(identity []byte, missesSets bool) {
	s.boundary()
	s.au.open = false
	s.pes.pictures++
	s.begun = true
	if !s.au.counted {
		s.markPicture(identity, missesSets)
	}
	if !s.unit.mayBeField() {
		s.passOver()
	}
}

// continueFrame says that the second field of a frame begins. It belongs to the access unit of the first, also if
// something stands in front of it that would begin one.
func (s *Scanner) continueFrame() {
	if s.au.open {
		s.au.open = false
		s.resolve(0)
	}
	s.continuePicture()
}

// passOver leaves the rest of the PES packet unread if nothing is expected there.
func (s *Scanner) passOver() {
	if s.trust.established() {
		s.reading = false
	}
}
