package record

import "github.com/timdrysdale/vw/lib/mpegts"

// tally counts what is in a file, packet by packet.
type tally struct {
	packets, frames, keyframes int64
	// atKeyframe says that PAT, PMT and a keyframe come first of all. It is decided by the first packet behind the tables.
	atKeyframe bool
	decided    bool
	tables     mpegts.Mark // of PAT and PMT, those that have come while it is undecided

	// The range of the PTS of the video (without video, of the first stream), unrolled over the wrap of the clock: the
	// lowest at the beginning and the highest at the end. Where the clock jumps, the highest is counted anew.
	hasPTS         bool
	first, highest uint64
	lowest         int64 // relative to first
	jumped         bool
}

// otherBytes tells of bytes that are no packets.
func (t *tally) otherBytes() { t.decided = true }

// plain counts n bytes of packets in which nothing begins, once it is decided.
func (t *tally) plain(n int) { t.packets += int64(n / mpegts.PacketSize) }

// packet counts p, and mark is what the scanner says of it.
func (t *tally) packet(p mpegts.Packet, mark mpegts.Mark) {
	t.packets++
	if !t.decided {
		t.tables |= mark & (mpegts.PAT | mpegts.PMT)
		if mark&mpegts.PSI == 0 && p.HasPayload() {
			t.decided = true
			t.atKeyframe = mark&mpegts.RandomAccess != 0 && t.tables == mpegts.PAT|mpegts.PMT
		}
	}
	if mark&(mpegts.AccessUnit|mpegts.RandomAccess) == 0 {
		return
	}
	if mark&mpegts.AccessUnit != 0 {
		t.frames++
		if mark&mpegts.RandomAccess != 0 {
			t.keyframes++
		}
	}
	if pts, ok := p.PTS(); ok {
		t.addPTS(pts)
	}
}

// longestReorder is how far pictures may be from their place in the order of presentation, in units of 1/90000 s.
const longestReorder = longestStep

func (t *tally) addPTS(pts uint64) {
	if !t.hasPTS {
		t.hasPTS, t.first, t.highest = true, pts, pts
		return
	}
	ahead := mpegts.ClockDiff(pts, t.highest)
	switch {
	case ahead < -longestReorder || ahead > longestReorder:
		t.jumped, t.highest = true, pts
	case ahead > 0:
		t.highest = pts
	}
	if !t.jumped {
		t.lowest = min(t.lowest, mpegts.ClockDiff(pts, t.first))
	}
}

// ptsRange returns the range in units of 1/90000 s, nil where there is none.
func (t *tally) ptsRange() (start, end *uint64) {
	if !t.hasPTS {
		return nil, nil
	}
	lowest := uint64(int64(t.first)+t.lowest) & (mpegts.ClockModulus - 1)
	highest := t.highest
	return &lowest, &highest
}
