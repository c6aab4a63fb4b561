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

// cut writes one parcel to segments, in as few writes as the limits allow.
type cut struct {
	w *writer
	p *stream.Delivery
	// p.Data[from:] is not written yet, and pos is the position of from in the stream.
	from int
	pos  int64
	// isInjected says of each packet whether it is not the stream's; nil when all are.
	isInjected []bool
}

// errWrite says that a write to the open segment failed.
var errWrite = errors.New("write failed")

// packets writes a parcel of packets.
func (c *cut) packets(ctx context.Context) error {
	w, p := c.w, c.p
	if err := c.begin(ctx); err != nil {
		return err
	}
	calm := false // what the limits said of the packet before holds for plain ones behind it
	for i := 0; i < len(p.Data); i += mpegts.PacketSize {
		if calm {
			n := w.scan.SkipPayload(p.Data[i : i+w.room(i-c.from, len(p.Data)-i)])
			w.open.plain(n)
			if i += n; i == len(p.Data) {
				break
			}
		}
		packet := mpegts.Packet(p.Data[i : i+mpegts.PacketSize])
		mark := w.scan.Packet(packet)
		w.tick(packet, mark, p.ReceivedAt)
		if w.over(i-c.from, mark) {
			return c.stop(i)
		}
		if reason := w.overdue(i-c.from, mark, p.ReceivedAt); reason != "" {
			w.trouble.Warn("keyframe", "no keyframe came, so a file ends in the middle of a group of pictures")
			if err := c.next(ctx, i, reason); err != nil {
				return err
			}
		}
		before := w.open.frames
		w.open.packet(packet, mark)
		w.frames += w.open.frames - before
		calm = mark&mpegts.PSI == 0 && w.open.decided && !w.bare(i-c.from)
	}
	if err := c.flush(len(p.Data)); err != nil {
		return err
	}
	if !w.fits(mpegts.PacketSize) {
		return errStop
	}
	return nil
}

// bytes writes a parcel that is not of packets. A part of a packet stays in one piece.
func (c *cut) bytes(ctx context.Context) error {
	w, p := c.w, c.p
	limit := w.limits.RotateSize
	if p.Kind != stream.Bytes {
		limit *= 2
	}
	if w.limits.StopTime > 0 && w.clock.elapsed >= limitTicks(w.limits.StopTime) || p.Kind == stream.Partial && !w.fits(len(p.Data)) {
		return errStop
	}
	for c.from < len(p.Data) {
		if !w.fits(1) {
			return errStop
		}
		if err := c.begin(ctx); err != nil {
			return err
		}
		n := int64(len(p.Data) - c.from)
		if w.limits.StopSize > 0 {
			n = min(n, w.limits.StopSize-w.written)
		}
		if limit > 0 && p.Kind != stream.Partial {
			n = min(n, max(limit-w.open.size, 0))
		}
		w.open.otherBytes()
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

// begin opens a segment if none is.
func (c *cut) begin(ctx context.Context) error {
	switch {
	case c.w.open != nil:
		return nil
	case c.p.Kind == stream.Packets && !c.w.fits(mpegts.PacketSize):
		return errStop
	}
	return c.w.begin(ctx, c)
}

// next ends the segment in front of p.Data[i] and begins another.
func (c *cut) next(ctx context.Context, i int, reason Reason) error {
	if err := c.flush(i); err != nil {
		return err
	}
	c.w.finish(reason)
	return c.w.begin(ctx, c)
}

func (c *cut) stop(i int) error {
	if err := c.flush(i); err != nil {
		return err
	}
	return errStop
}

// flush writes p.Data up to i. When the disk is full it goes on as long as retention makes room.
func (c *cut) flush(i int) error {
	if i == c.from {
		return nil
	}
	s := c.w.open
	if c.from == 0 && c.p.Gap {
		s.gaps++
		s.dropped += c.p.Dropped + c.w.untold
		c.w.untold = 0
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

// write writes p.Data up to i, or as much of it as can be kept.
func (c *cut) write(i int) error {
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

// tick tells the clock what time a packet has.
func (w *writer) tick(p mpegts.Packet, mark mpegts.Mark, at time.Time) {
	if mark&(mpegts.AccessUnit|mpegts.RandomAccess) != 0 {
		if stamp, ok := p.DTS(); ok {
			w.clock.stamp(fromFrames, stamp, at)
		}
	} else if stamp, ok := p.PCR(); ok {
		w.clock.stamp(fromPCR, stamp, at)
	}
}

// injectedPackets tells which packets of a parcel were put in by the queue: the announcements of a gap, which are
// recognised by what follows them, and tables in front of everything. It answers nil when there are none.
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

// isAnnouncement reports whether p announces a gap as the queue does it.
func isAnnouncement(p mpegts.Packet) bool {
	return p.Discontinuity() && !p.HasPayload() && bytes.Equal(p, mpegts.AppendDiscontinuity(nil, p))
}
