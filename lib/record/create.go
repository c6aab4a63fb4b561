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
			s.afterGap = w.clock.jumped || c.from == 0 && c.p.Gap
			w.clock.jumped = false
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
	if w.archive.makeRoom() {
		return true
	}
	before := w.archive.deletions()
	w.finalizer.drain() // files that it is about to finish make older ones deletable, and it may delete them itself
	return w.archive.makeRoom() || w.archive.deletions() > before
}

// createSegment creates a segment, and writes PAT and PMT in front if the stream has none there.
func (w *writer) createSegment(c *segmenter) (*segment, error) {
	tables := w.tables[:0]
	if c.p.Kind == stream.Packets && !(c.from == 0 && c.p.HasPSI) {
		known, counters := w.scan.Tables()
		if c.from == 0 && c.p.PSI != nil {
			known, counters = c.p.PSI, c.p.Counters
		}
		if known != nil {
			tables = known.Append(tables, counters)
			w.tables = tables
		}
	}
	if !w.fits(len(tables) + mpegts.PacketSize) {
		tables = nil
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
	if s.temp, s.file, err = createTemp(w.disk, w.template, s, at, int64(len(tables))); err != nil {
		return nil, err
	}
	if err := s.inject(tables); err != nil {
		return nil, errors.Join(err, s.file.Close(), w.disk.Remove(s.temp))
	}
	if len(tables) > 0 {
		w.account.AddWritten(&stream.Delivery{Data: tables})
		w.written += int64(len(tables))
	}
	w.lastStart = at
	return s, nil
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
