package record

import (
	"math"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// Limits say when a file ends and the next begins, and when the recording ends. 0 means no limit.
//
// A file ends at the first keyframe at or after one of the limits RotateSize, RotateTime and RotateFrames. If none
// comes within one more limit, the file ends there, between packets, and the next begins in the middle of a group of
// pictures. Raw streams are cut at the byte.
type Limits struct {
	RotateSize   int64 // bytes of a file
	RotateTime   time.Duration
	RotateFrames int64
	// Align ends files at multiples of RotateTime of the wall clock, in UTC, instead of RotateTime after they began.
	Align bool

	// The limits of the whole recording. Its files together have at most StopSize bytes, rounded down to whole packets.
	// It ends before the frame that would make it longer than StopTime, and before frame StopFrames+1.
	StopSize   int64
	StopTime   time.Duration
	StopFrames int64
}

// alignSlack is how long before a multiple of the wall clock a file may begin and still count as beginning at it.
// Without it a clock that is being corrected would make tiny files.
const alignSlack = time.Second

// setRotateAt sets how long a segment that begins now may last.
func (w *writer) setRotateAt(s *segment) {
	s.began, s.lasts = w.clock.elapsed, limitTicks(w.limits.RotateTime)
	if w.limits.Align {
		every := w.limits.RotateTime
		wall := s.start.Round(0)
		next := wall.Add(min(alignSlack, every/20)).Truncate(every).Add(every)
		s.lasts = limitTicks(next.Sub(wall))
	}
}

// age returns the length of the open segment at a time of arrival, in units of 1/90000 s.
func (w *writer) age(at time.Time) int64 {
	if w.limits.Align {
		return mpegts.Ticks(at.Sub(w.open.start))
	}
	return w.clock.elapsed - w.open.began
}

// shouldRotate returns why the open segment should end at a keyframe that arrived at the given time, or "".
func (w *writer) shouldRotate(at time.Time) Reason {
	l, s := &w.limits, w.open
	switch {
	case w.hangup.Load():
		return Hangup
	case l.RotateSize > 0 && s.size >= l.RotateSize:
		return Size
	case l.RotateTime > 0 && w.age(at) >= s.lasts:
		return Time
	case l.RotateFrames > 0 && s.frames >= l.RotateFrames:
		return Frames
	}
	return ""
}

// mustRotate returns why the open segment must end before a packet although no keyframe begins there, or "". pending
// bytes will be written to it before.
func (w *writer) mustRotate(pending int, mark mpegts.Mark, at time.Time) Reason {
	l, s := &w.limits, w.open
	switch {
	case w.empty(pending): // every segment takes at least one packet, whatever the limit
		return ""
	case l.RotateSize > 0 && s.size+int64(pending)+mpegts.PacketSize > double(l.RotateSize):
		return Size
	case l.RotateTime > 0 && w.age(at) >= s.lasts+limitTicks(l.RotateTime):
		return Time
	case l.RotateFrames > 0 && mark&mpegts.AccessUnit != 0 && s.frames >= double(l.RotateFrames):
		return Frames
	}
	return ""
}

// double is one more limit. A limit that nothing reaches must not overflow.
func double(limit int64) int64 { return 2 * min(limit, math.MaxInt64/2) }

// empty reports whether the open segment has no bytes of the stream, counting pending bytes that will be written to it.
func (w *writer) empty(pending int) bool { return w.open.size+int64(pending) == w.open.injected }

// bytesToLimit returns how many of n bytes after the pending ones are within the limits of size.
func (w *writer) bytesToLimit(pending, n int) int {
	l, room := &w.limits, int64(n)
	if l.RotateSize > 0 {
		room = min(room, double(l.RotateSize)-w.open.size-int64(pending))
	}
	if l.StopSize > 0 {
		room = min(room, l.StopSize-w.written-int64(pending))
	}
	return int(room)
}

// reachedStop reports whether the recording ends before a packet. pending bytes will be written before.
func (w *writer) reachedStop(pending int, mark mpegts.Mark) bool {
	l := &w.limits
	return !w.fits(pending+mpegts.PacketSize) ||
		l.StopTime > 0 && mark&mpegts.PSI == 0 && w.clock.elapsed >= limitTicks(l.StopTime) ||
		l.StopFrames > 0 && mark&mpegts.AccessUnit != 0 && w.frames >= l.StopFrames
}

// fits reports whether n more bytes may be recorded.
func (w *writer) fits(n int) bool {
	return w.limits.StopSize == 0 || w.written+int64(n) <= w.limits.StopSize
}

// stopsAtFirstFrame reports whether the recording ends before the first frame of a delivery that begins a group of
// pictures. Then no file is begun for its tables alone.
func (w *writer) stopsAtFirstFrame(p *stream.Delivery) bool {
	c := segmenter{w: w, p: p}
	front, _ := w.front(&c)
	lead := leadingPSI(p) + len(front)
	return w.reachedStop(lead, mpegts.AccessUnit)
}

// leadingPSI returns how many bytes of a delivery stand before the first packet of an elementary stream.
func leadingPSI(p *stream.Delivery) int {
	n := 0
	for p.PSI != nil && n < len(p.Data) && !p.PSI.Carries(mpegts.Packet(p.Data[n:]).PID()) {
		n += mpegts.PacketSize
	}
	return n
}
