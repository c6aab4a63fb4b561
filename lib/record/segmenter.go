package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// segmenter writes one delivery to segments, with as few writes as the limits allow.
type segmenter struct {
	w *writer
	p *stream.Delivery
	// p.Data[from:] is not written yet. pos is the position of from in the stream.
	from int
	pos  int64
	// isInjected says for each packet whether the queue injected it; nil if none was.
	isInjected []bool
	// marks are those of the packets. psi and counters were in force before them.
	marks    []mpegts.Mark
	psi      *mpegts.Tables
	counters mpegts.Counters
}

// errWrite says that a write to the open segment failed.
var errWrite = errors.New("write failed")

// scan marks the packets of the delivery.
func (c *segmenter) scan() {
	w := c.w
	c.psi, c.counters = w.scan.Tables()
	w.scan.ReceivedAt = c.p.ReceivedAt
	w.marks = w.scan.AppendMarks(w.marks[:0], c.p.Data)
	c.marks = w.marks
	w.videoPID = 0
	if s, isVideo, ok := w.scan.Followed(); ok && isVideo {
		w.videoPID = s.PID
	}
}

// unmarked returns how many bytes from p.Data[i] on are of packets without a mark, at most limit.
func (c *segmenter) unmarked(i, limit int) (n int) {
	for n+mpegts.PacketSize <= limit && c.marks[(i+n)/mpegts.PacketSize] == 0 {
		n += mpegts.PacketSize
	}
	return n
}

// tablesAt returns the PAT and PMT in force at p.Data[i], and their counters.
func (c *segmenter) tablesAt(i int) (*mpegts.Tables, mpegts.Counters) {
	for _, mark := range c.marks[:i/mpegts.PacketSize] {
		if mark&mpegts.PSI != 0 {
			return c.w.scan.Tables()
		}
	}
	return c.psi, c.counters
}

// writePackets writes a delivery of packets.
func (c *segmenter) writePackets(ctx context.Context) error {
	w, p := c.w, c.p
	c.scan()
	if err := c.ensureSegment(ctx); err != nil {
		return err
	}
	passThrough := false // packets without a mark may pass unseen up to the next limit
	for i := 0; i < len(p.Data); i += mpegts.PacketSize {
		if passThrough {
			n := c.unmarked(i, w.bytesToLimit(i-c.from, len(p.Data)-i))
			w.open.skipPayload(n)
			if i += n; i == len(p.Data) {
				break
			}
		}
		packet := mpegts.Packet(p.Data[i : i+mpegts.PacketSize])
		mark := c.marks[i/mpegts.PacketSize]
		w.tick(packet, mark, p.ReceivedAt)
		if w.reachedStop(i-c.from, mark) {
			return c.stop(i)
		}
		if reason := w.mustRotate(i-c.from, mark, p.ReceivedAt); reason != "" {
			w.throttled.Warn("keyframe", "no keyframe within twice the limit; a file ends inside a group of pictures")
			if err := c.nextSegment(ctx, i, reason); err != nil {
				return err
			}
		}
		before := w.open.frames
		w.open.packet(packet, mark, w.videoPID)
		w.frames += w.open.frames - before
		if mark&mpegts.MissesSets != 0 && mark&mpegts.RandomAccess == 0 {
			w.warnSets()
		}
		// Without frames the time is that of other packets.
		passThrough = mark&mpegts.PSI == 0 && w.open.decided && !w.empty(i-c.from) && w.clock.source == fromFrames
	}
	if err := c.flush(len(p.Data)); err != nil {
		return err
	}
	if !w.fits(mpegts.PacketSize) {
		return errStop
	}
	return nil
}

// writeBytes writes a delivery that is not packets. It does not split a partial packet.
func (c *segmenter) writeBytes(ctx context.Context) error {
	w, p := c.w, c.p
	limit := w.limits.RotateSize
	if p.Kind != stream.Bytes {
		limit = double(limit)
	}
	isLate := w.limits.StopTime > 0 && w.clock.elapsed >= limitTicks(w.limits.StopTime)
	if isLate || p.Kind == stream.Partial && !w.fits(len(p.Data)) {
		return errStop
	}
	for c.from < len(p.Data) {
		if !w.fits(1) {
			return errStop
		}
		if err := c.ensureSegment(ctx); err != nil {
			return err
		}
		n := int64(len(p.Data) - c.from)
		if w.limits.StopSize > 0 {
			n = min(n, w.limits.StopSize-w.written)
		}
		if limit > 0 && p.Kind != stream.Partial {
			n = min(n, max(limit-w.open.size, 0))
		}
		w.open.nonPackets()
		if err := c.flush(c.from + int(n)); err != nil {
			return err
		}
		if limit > 0 && w.open.size >= limit {
			w.finish(Size)
		}
	}
	if !w.fits(1) {
		return errStop
	}
	return nil
}

// ensureSegment opens a segment if none is open.
func (c *segmenter) ensureSegment(ctx context.Context) error {
	switch {
	case c.w.open != nil:
		return nil
	case c.p.Kind == stream.Packets && !c.w.fits(mpegts.PacketSize):
		return errStop
	}
	return c.w.openSegment(ctx, c)
}

// nextSegment ends the open segment before p.Data[i] and opens the next.
func (c *segmenter) nextSegment(ctx context.Context, i int, reason Reason) error {
	if err := c.flush(i); err != nil {
		return err
	}
	c.w.finish(reason)
	return c.w.openSegment(ctx, c)
}

func (c *segmenter) stop(i int) error {
	if err := c.flush(i); err != nil {
		return err
	}
	return errStop
}

// flush writes p.Data up to i. While the disk is full it lets retention make room and tries again.
func (c *segmenter) flush(i int) error {
	if i == c.from {
		return nil
	}
	s := c.w.open
	if c.from == 0 && c.p.Gap {
		s.gaps++
		s.dropped += c.p.Dropped + c.w.unreportedDrops
		c.w.unreportedDrops = 0
	}
	for {
		err := c.write(i)
		if err == nil {
			return nil
		}
		if !isFull(err) || !c.w.makeRoom() || s.file.Truncate(s.size) != nil {
			return fmt.Errorf("record to %s: %w: %w", s.path, errWrite, err)
		}
	}
}

// write writes p.Data up to i. On an error it has written as much as could be kept.
func (c *segmenter) write(i int) error {
	w, s := c.w, c.w.open
	unit := 1
	if c.p.Kind == stream.Packets {
		unit = mpegts.PacketSize
	}
	kept, err := s.write(c.p.Data[c.from:i], unit)
	part := stream.Delivery{Data: c.p.Data[c.from : c.from+kept], Size: kept}
	for at := c.from; c.isInjected != nil && at < c.from+kept; at += mpegts.PacketSize {
		if c.isInjected[at/mpegts.PacketSize] {
			part.Size -= mpegts.PacketSize
		}
	}
	w.account.AddWritten(&part)
	w.written += int64(kept)
	c.from += kept
	c.pos += int64(part.Size)
	s.pos, s.end = c.pos, c.p.ReceivedAt
	s.injected += int64(part.Injected())
	return err
}

// tick advances the clock by the timestamps of a packet.
func (w *writer) tick(p mpegts.Packet, mark mpegts.Mark, at time.Time) {
	if mark&(mpegts.AccessUnit|mpegts.RandomAccess) != 0 {
		if stamp, ok := p.DTS(); ok {
			w.clock.stamp(fromFrames, stamp, at)
		}
	} else if stamp, ok := p.PCR(); ok {
		w.clock.stamp(fromPCR, stamp, at)
	}
}

// injectedPackets finds which packets of a delivery the queue injected: announcements of gaps, which it recognises by
// the packet that follows, and tables in front. It returns nil if there are none.
func injectedPackets(p *stream.Delivery) []bool {
	left := p.Injected() / mpegts.PacketSize
	if left == 0 {
		return nil
	}
	n := len(p.Data) / mpegts.PacketSize
	packet := func(i int) mpegts.Packet {
		return mpegts.Packet(p.Data[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize])
	}
	injected := make([]bool, n)
	for i := 0; i+1 < n && left > 0; i++ {
		if packet(i).PID() == packet(i+1).PID() && isAnnouncement(packet(i)) {
			injected[i] = true
			left--
		}
	}
	for i := 0; i < n && left > 0; i++ {
		if !injected[i] {
			injected[i] = true
			left--
		}
	}
	return injected
}

// isAnnouncement reports whether p announces a gap in the form that the queue writes.
func isAnnouncement(p mpegts.Packet) bool {
	return p.Discontinuity() && !p.HasPayload() && bytes.Equal(p, mpegts.AppendDiscontinuity(nil, p))
}
