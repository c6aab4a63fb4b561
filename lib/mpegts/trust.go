package mpegts

// trust says whether the PES packets of a stream have one picture each, so that what follows the first picture need
// not be searched for others: this is what costs most of all. It is established by a few PES packets that were read
// to their end, and lost where the time from one PES packet to the next says that a picture more may have come.
type trust struct {
	singles int    // how many PES packets in a row had one picture
	step    int64  // the longest time to the next PES packet that such a one had
	dts     uint64 // of the last PES packet
	known   bool   // dts is
}

// enoughSingles is how many PES packets establish trust.
const enoughSingles = 4

func (t *trust) established() bool { return t.singles >= enoughSingles && t.step > 0 }

// next takes the next PES packet. Complete says that the one before was read to its end, single that it began with an
// access unit and had one picture.
func (t *trust) next(complete, single bool, pes *pesState) {
	known := t.known && pes.hasDTS
	step := int64(0)
	if known {
		step = ClockDiff(pes.dts, t.dts)
	}
	t.dts, t.known = pes.dts, pes.hasDTS
	switch {
	case !complete:
		// A jump of the clock says nothing about the pictures before it.
		if !known || 2*step > 3*t.step && step < maxClockAhead {
			t.singles = 0
		}
	case single && step > 0:
		t.singles = min(t.singles+1, enoughSingles)
		t.step = max(t.step, step)
	default:
		t.singles = 0
	}
}
