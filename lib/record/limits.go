package record

import (
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// Limits say when a file ends and the next begins, and when the recording ends. 0 is no limit.
//
// A file ends at the first beginning of a group of pictures at or after the limit of its size, its time or its frames.
// When none comes within one more limit it ends there, between packets, and the next begins in the middle of a group.
// Raw streams end at the byte.
type Limits struct {
	RotateSize   int64 // bytes of a file
	RotateTime   time.Duration
	RotateFrames int64
	// Align ends files at multiples of RotateTime on the wall clock, in UTC, instead of RotateTime after they began.
	Align bool

	// The whole recording: its files together are at most StopSize bytes, a packet more would not fit. It ends before
	// the frame with which it would be longer than StopTime, and before frame StopFrames+1.
	StopSize   int64
	StopTime   time.Duration
	StopFrames int64
}

// alignSlack is how long before a multiple on the clock a file that begins is taken to begin at it, so that a clock
// which is being corrected makes no tiny files.
const alignSlack = time.Second

// plan sets the time that a segment which begins now is to last.
func (w *writer) plan(s *segment) {
	s.began, s.lasts = w.clock.elapsed, limitTicks(w.limits.RotateTime)
	if w.limits.Align {
		every := w.limits.RotateTime
		wall := s.start.Round(0)
		next := wall.Add(min(alignSlack, every/20)).Truncate(every).Add(every)
		s.lasts = limitTicks(next.Sub(wall))
	}
}

// age is how long the open segment is at the time at, in units of 1/90000 s.
func (w *writer) age(at time.Time) int64 {
	if w.limits.Align {
		return ticks(at.Sub(w.open.start))
	}
	return w.clock.elapsed - w.open.began
}

// due says why the open segment should end where a group of pictures begins; "" when it should not.
func (w *writer) due(at time.Time) Reason {
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

// overdue says why the open segment must end before a packet, although no group of pictures begins there. pending bytes
// will be written to it before.
func (w *writer) overdue(pending int, mark mpegts.Mark, at time.Time) Reason {
	l, s := &w.limits, w.open
	switch {
	case w.bare(pending): // whatever the limit, something has to get in
		return ""
	case l.RotateSize > 0 && s.size+int64(pending)+mpegts.PacketSize > 2*l.RotateSize:
		return Size
	case l.RotateTime > 0 && w.age(at) >= s.lasts+limitTicks(l.RotateTime):
		return Time
	case l.RotateFrames > 0 && mark&mpegts.AccessUnit != 0 && s.frames >= 2*l.RotateFrames:
		return Frames
	}
	return ""
}

// bare reports whether the open segment has nothing of the stream, with pending bytes that will be written to it.
func (w *writer) bare(pending int) bool { return w.open.size+int64(pending) == w.open.injected }

// room is how many bytes behind the pending ones are within the limits of size, at most n.
func (w *writer) room(pending, n int) int {
	l, room := &w.limits, int64(n)
	if l.RotateSize > 0 {
		room = min(room, 2*l.RotateSize-w.open.size-int64(pending))
	}
	if l.StopSize > 0 {
		room = min(room, l.StopSize-w.written-int64(pending))
	}
	return int(room)
}

// over reports whether the recording ends before a packet, with pending bytes that will be written before it.
func (w *writer) over(pending int, mark mpegts.Mark) bool {
	l := &w.limits
	return !w.fits(pending+mpegts.PacketSize) ||
		l.StopTime > 0 && mark&mpegts.PSI == 0 && w.clock.elapsed >= limitTicks(l.StopTime) ||
		l.StopFrames > 0 && mark&mpegts.AccessUnit != 0 && w.frames >= l.StopFrames
}

// fits reports whether n more bytes may be recorded.
func (w *writer) fits(n int) bool {
	return w.limits.StopSize == 0 || w.written+int64(n) <= w.limits.StopSize
}

// overAtFirstFrame reports whether the recording ends before the first frame of a parcel, which begins a group: then no
// file is begun for the tables in front of it.
func (w *writer) overAtFirstFrame(p *stream.Delivery) bool {
	lead := leadingTables(p)
	if !p.HasPSI && p.PSI != nil {
		lead += len(p.PSI.Append(w.tables[:0], p.Counters))
	}
	return w.over(lead, mpegts.AccessUnit)
}

// leadingTables is how many bytes of a parcel stand before the first packet of an elementary stream.
func leadingTables(p *stream.Delivery) int {
	n := 0
	for p.PSI != nil && n < len(p.Data) && !p.PSI.Carries(mpegts.Packet(p.Data[n:]).PID()) {
		n += mpegts.PacketSize
	}
	return n
}
