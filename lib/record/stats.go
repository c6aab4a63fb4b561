package record

import "github.com/timdrysdale/vw/lib/mpegts"

// stats counts what is in a file, packet by packet.
type stats struct {
	packets, frames, keyframes int64
	// startsAtKeyframe says that a decoder can begin with the file: PAT, PMT, and its first picture is a keyframe with
	// parameter sets. Audio may come before.
	startsAtKeyframe bool
	decided          bool
	leadingTables    mpegts.Mark // which of PAT and PMT have come before it is decided
	hasSets          bool        // the parameter sets of the first keyframe were put in front

	// The range of the video's PTS (without video, of the first stream's), unrolled over the wrap of the clock: the
	// lowest and the highest, up to the first jump.
	hasPTS         bool
	first, highest uint64
	lowest         int64 // relative to first
	jumped         bool
}

// nonPackets notes that the file has bytes that are not packets.
func (t *stats) nonPackets() { t.decided = true }

// skipPayload counts n bytes of packets without a PES header. It must be decided whether the file starts at a keyframe.
func (t *stats) skipPayload(n int) { t.packets += int64(n / mpegts.PacketSize) }

// packet counts p. mark is what the scanner returned for it, videoPID is that of the video, 0 if there is none.
func (t *stats) packet(p mpegts.Packet, mark mpegts.Mark, videoPID uint16) {
	t.packets++
	if !t.decided {
		t.leadingTables |= mark & (mpegts.PAT | mpegts.PMT)
		if mark&mpegts.PSI == 0 && p.HasPayload() && (videoPID == 0 || p.PID() == videoPID) {
			t.decided = true
			t.startsAtKeyframe = mark&mpegts.RandomAccess != 0 && t.leadingTables == mpegts.PAT|mpegts.PMT &&
				(mark&mpegts.MissesSets == 0 || t.hasSets)
		}
	}
	if mark&(mpegts.AccessUnit|mpegts.RandomAccess) == 0 {
		return
	}
	t.frames += int64(mark.AccessUnits())
	t.keyframes += int64(mark.Keyframes())
	if pts, ok := p.PTS(); ok {
		t.addPTS(pts)
	}
}

// longestReorder is how far the PTS of a picture may be from the highest one without being a jump, in units of 1/90000
// s.
const longestReorder = longestStep

func (t *stats) addPTS(pts uint64) {
	if !t.hasPTS {
		t.hasPTS, t.first, t.highest = true, pts, pts
		return
	}
	ahead := mpegts.ClockDiff(pts, t.highest)
	if ahead < -longestReorder || ahead > longestReorder {
		t.jumped = true
	}
	if t.jumped {
		return
	}
	if ahead > 0 {
		t.highest = pts
	}
	t.lowest = min(t.lowest, mpegts.ClockDiff(pts, t.first))
}

// jump notes that the clock jumps: the range must not span that.
func (t *stats) jump() { t.jumped = t.hasPTS }

// ptsRange returns the lowest and the highest PTS, nil if there is none.
func (t *stats) ptsRange() (start, end *uint64) {
	if !t.hasPTS {
		return nil, nil
	}
	lowest := uint64(int64(t.first)+t.lowest) & (mpegts.ClockModulus - 1)
	highest := t.highest
	return &lowest, &highest
}
