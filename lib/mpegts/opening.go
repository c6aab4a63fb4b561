package mpegts

// Opening tells whether a stream, a file or a connection plays from its beginning: PAT and PMT come before anything
// else, and the first picture of the video is a keyframe with the parameter sets that it needs. Audio may come before
// it. Of a program without video, the first packet of the stream that is followed must begin a PES packet. The zero
// value is ready.
type Opening struct {
	tables  Mark // PAT and PMT, those that have come
	waiting bool // an undecided packet came first
	decided bool
	good    bool
}

// Add takes the next packet with the mark that s gave it.
func (o *Opening) Add(s *Scanner, p Packet, mark Mark) {
	if o.decided {
		return
	}
	o.tables |= mark & (PAT | PMT)
	if o.waiting {
		if mark&Decided == 0 {
			return
		}
		o.waiting = false
		if o.decide(s.Decision()) {
			return
		}
	}
	const both = PAT | PMT
	switch {
	case mark&PSI != 0 || !p.HasPayload():
	case o.tables != both:
		o.decided = true
	case mark&Undecided != 0:
		o.waiting = true
	case p.PID() == s.followed.PID:
		if !o.decide(mark) {
			o.decided = true // the rest of a picture
		}
	}
}

// decide decides by the mark of the first packet of the stream that is followed.
func (o *Opening) decide(mark Mark) bool {
	if mark&(AccessUnit|RandomAccess) == 0 {
		return false
	}
	o.decided, o.good = true, mark&RandomAccess != 0 && mark&MissesSets == 0
	return true
}

// Reset begins anew, with a file or a connection.
func (o *Opening) Reset() { *o = Opening{} }

// Decided reports whether the answer of AtKeyframe is final.
func (o *Opening) Decided() bool { return o.decided }

// AtKeyframe reports whether what has come plays from its beginning.
func (o *Opening) AtKeyframe() bool { return o.good }
