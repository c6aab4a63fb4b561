package mpegts

// Start codes of MPEG-1 and MPEG-2 video (ISO/IEC 13818-2, table 6-1).
const (
	pictureStart   = 0x00
	userData       = 0xB2
	sequenceHeader = 0xB3
	extensionStart = 0xB5
	groupStart     = 0xB8

	mpegIntra = 1 // picture_coding_type
)

// mpegState is what must be known of the pictures of MPEG-1 and MPEG-2 video.
type mpegState struct {
	sequence   []byte // the sequence header that is being read, with its extensions
	inSequence bool
	halfFrame  bool // a field has come without the other one of its frame
	second     bool // the last picture may be the second field of a frame
	keyframe   bool // the last picture is an I picture
}

// readMPEG looks at a header of MPEG-1 or MPEG-2 video (ISO/IEC 13818-2, 6.2).
func (s *Scanner) readMPEG(b []byte, complete bool) (want int) {
	if len(b) == 0 {
		return 1
	}
	m := &s.unit.mpeg
	kind := b[0]
	if !s.unit.named {
		s.unit.named = true
		switch {
		case kind == sequenceHeader, kind == groupStart:
			m.halfFrame = false
			s.unit.interlaced = s.unit.interlaced && kind != sequenceHeader
			s.boundary()
		case kind != pictureStart:
			s.continuePicture()
		}
		if kind != sequenceHeader && kind != extensionStart && kind != userData && m.inSequence {
			m.inSequence = false
			s.sets.put(sequenceSet, 0, 0, s.au.number, m.sequence)
		}
	}
	switch {
	case kind == pictureStart:
		return s.readMPEGPicture(b, complete)
	case kind == sequenceHeader && complete:
		m.sequence, m.inSequence = append(append(m.sequence[:0], 0, 0, 1), b...), true
	case kind == extensionStart && !m.inSequence:
		return s.readPictureCoding(b)
	case kind == extensionStart && complete:
		s.unit.interlaced = s.unit.interlaced || isInterlaced(b)
		if len(m.sequence) < maxSetSize/2 {
			m.sequence = append(append(m.sequence, 0, 0, 1), b...)
		}
	case kind == sequenceHeader, kind == extensionStart:
		return maxSetSize
	}
	return 0
}

// readMPEGPicture reads a picture header (6.2.3).
func (s *Scanner) readMPEGPicture(b []byte, complete bool) (want int) {
	m := &s.unit.mpeg
	if len(b) < 3 {
		if complete {
			s.continuePicture()
		}
		return 3
	}
	m.keyframe = b[2]>>3&7 == mpegIntra
	if m.second = m.halfFrame && !s.au.open; m.second {
		m.halfFrame = false
		s.continuePicture()
		return 0
	}
	m.halfFrame = false
	s.mpegPicture()
	return 0
}

// mpegPicture marks the first picture of a frame.
func (s *Scanner) mpegPicture() {
	var identity []byte
	misses := s.unit.mpeg.keyframe
	if set := s.sets.get(sequenceSet, 0); set != nil && s.unit.mpeg.keyframe {
		// Bit rate and matrices may change at any sequence header: size, aspect ratio and frame rate make another
		// stream.
		identity = set.data[4:min(8, len(set.data))]
		misses = set.unit != s.au.number || !s.au.open
	}
	s.picture(identity, misses)
}

// readPictureCoding reads a picture coding extension, which says whether the picture is a field (6.2.3.1).
func (s *Scanner) readPictureCoding(b []byte) (want int) {
	const pictureCoding, frame = 8, 3
	m := &s.unit.mpeg
	if len(b) < 4 {
		return 4
	}
	if b[1]>>4 != pictureCoding {
		return 0
	}
	field := b[3]&3 != frame
	switch {
	case !field && m.second: // the field before stays alone
		s.mpegPicture()
	case !m.second:
		m.halfFrame = field
	}
	if !field {
		s.passOver()
	}
	return 0
}

// isInterlaced reports whether an extension is a sequence extension that allows fields (6.2.2.3).
func isInterlaced(b []byte) bool {
	const sequence, progressive = 1, 0x08
	return len(b) > 2 && b[1]>>4 == sequence && b[2]&progressive == 0
}
