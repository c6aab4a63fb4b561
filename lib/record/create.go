package record

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// How the writer opens a segment: its temporary file, and the PAT and PMT in front.

// openSegment opens the segment that begins with c's next byte. With live it tries until it succeeds or ctx ends.
func (w *writer) openSegment(ctx context.Context, c *segmenter) error {
	for {
		s, err := w.createSegment(c)
		if err == nil {
			w.setOpen(s)
			w.checkedAt = c.p.ReceivedAt
			s.afterGap = w.clock.jumped || c.from == 0 && (c.p.Gap || c.p.Change&beginsAnew != 0)
			w.clock.jumped, w.changePending = false, false
			w.setRotateAt(s)
			w.hangup.Store(false)
			return nil
		}
		if isFull(err) && w.makeRoom() {
			continue
		}
		if !w.live {
			return err
		}
		w.throttled.Warn("disk", "no file can be created", "err", err)
		if w.backoff(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// makeRoom deletes a file if retention allows it, and reports whether it is worth trying again.
func (w *writer) makeRoom() bool {
	if !w.archive.hasRules() {
		return false
	}
	if !w.archive.makeRoom() && w.archive.deletions() == w.deletions {
		w.finalizer.drain() // files that it is about to finish make older ones deletable
		w.archive.makeRoom()
	}
	// The finalizer deletes files, too: perhaps since the write has failed.
	before := w.deletions
	w.deletions = w.archive.deletions()
	return w.deletions > before
}

// createSegment creates a segment, and writes in front what a decoder needs and the stream does not have there: PAT and
// PMT, and the keyframe's parameter sets.
func (w *writer) createSegment(c *segmenter) (*segment, error) {
	front, hasSets := w.front(c)
	if !w.fits(len(front) + mpegts.PacketSize) {
		front, hasSets = nil, false
	}
	now := c.p.ReceivedAt
	s := &segment{path: w.template.Path(now), raw: c.p.Kind == stream.Bytes, start: now, end: now}
	if w.hashed {
		s.hash = sha256.New()
	}
	// Several segments can begin with data of one read. After a crash their unfinished files are recovered in the order
	// of these times, so each needs a time of its own.
	at := s.start.Round(0)
	if since := w.lastStart.Sub(at); since >= 0 && since < time.Second {
		at = w.lastStart.Add(1)
	}
	var err error
	if s.temp, s.file, err = createTemp(w.disk, w.template, s, at, int64(len(front))); err != nil {
		return nil, err
	}
	if err := s.inject(front); err != nil {
		return nil, errors.Join(err, s.file.Close(), w.disk.Remove(s.temp))
	}
	if len(front) > 0 {
		w.account.AddWritten(&stream.Delivery{Data: front})
		w.written += int64(len(front))
	}
	s.hasSets = hasSets
	w.lastStart = at
	return s, nil
}

// front returns the packets to put in front of a segment, and whether parameter sets are among them.
func (w *writer) front(c *segmenter) (front []byte, hasSets bool) {
	p := c.p
	if p.Kind != stream.Packets {
		return nil, false
	}
	psi, counters := c.tablesAt(c.from)
	if c.from == 0 && p.PSI != nil {
		psi, counters = p.PSI, p.Counters
	}
	needsSets := c.from == 0 && p.RandomAccess && p.Sets != nil
	if psi == nil || c.from == 0 && p.HasPSI && !needsSets {
		return nil, false
	}
	w.tables = psi.Append(w.tables[:0], counters)
	if !needsSets {
		return w.tables, false
	}
	// Also where the stream has PAT and PMT of its own there: what is injected stays at the beginning of a file.
	tables := len(w.tables)
	at := stream.KeyframeAt(p.Data)
	w.tables = p.Sets.AppendPES(w.tables, mpegts.Packet(p.Data[at:at+mpegts.PacketSize]))
	hasSets = len(w.tables) > tables
	if !hasSets {
		w.warnSets()
		if p.HasPSI {
			return nil, false
		}
	}
	return w.tables, hasSets
}

// warnSets logs, once, that files do not play alone.
func (w *writer) warnSets() {
	if w.setsWarned {
		return
	}
	w.setsWarned = true
	w.throttled.Warn("sets", "keyframes without parameter sets (SPS, PPS); files begin that do not play alone",
		"hint", "let the encoder repeat them: config-interval=-1 (GStreamer's h264parse, h265parse), "+
			"-bsf:v dump_extra (ffmpeg)")
}

// createTemp creates the file of s, which begins at the given time, under a temporary name that is not taken.
func createTemp(d disk, t *Template, s *segment, at time.Time, injected int64) (string, file, error) {
	n := newTempName(t, s.path, at)
	n.raw, n.injected = s.raw, injected
	const attempts = 100
	for i := 0; ; i++ {
		path := n.String()
		f, err := d.Create(path)
		if err == nil {
			return path, f, nil
		}
		if !errors.Is(err, fs.ErrExist) || i == attempts {
			return "", nil, fmt.Errorf("create a file for %s: %w", s.path, err)
		}
		n.start = n.start.Add(1) // another recorder has created one for the same time
	}
}

// setOpen sets the open segment; nil means none.
func (w *writer) setOpen(s *segment) {
	w.open = s
	w.syncer.set(s)
}
