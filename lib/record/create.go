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

// How the writer opens a segment: its file under a temporary name, and the tables in front.

// begin opens the segment that begins with c's next byte. With live it tries until there is one.
func (w *writer) begin(ctx context.Context, c *cut) error {
	for {
		s, err := w.create(c)
		if err == nil {
			w.setOpen(s)
			w.checked = c.p.ReceivedAt
			s.afterGap = w.clock.jumped || c.from == 0 && c.p.Gap
			w.clock.jumped = false
			w.plan(s)
			w.hangup.Store(false)
			return nil
		}
		if isFull(err) && w.makeRoom() {
			continue
		}
		if !w.live {
			return err
		}
		w.trouble.Warn("disk", "no file to record to", "err", err)
		if w.rest(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// makeRoom deletes by the rules of retention, and reports whether it is worth trying again.
func (w *writer) makeRoom() bool {
	if !w.archive.rules.any() {
		return false
	}
	if w.archive.makeRoom() {
		return true
	}
	w.finisher.settle() // what it is about to finish makes older files such that may go
	return w.archive.makeRoom()
}

// create makes a segment with the tables that it needs in front.
func (w *writer) create(c *cut) (*segment, error) {
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
	s := &segment{path: w.template.Path(c.p.ReceivedAt), raw: c.p.Kind == stream.Bytes, start: c.p.ReceivedAt, end: c.p.ReceivedAt}
	if w.hashed {
		s.hash = sha256.New()
	}
	// Several segments can begin with what one read brought. What a crash leaves of them is kept in the order of these times.
	at := s.start.Round(0)
	if behind := w.begun.Sub(at); behind >= 0 && behind < time.Second {
		at = w.begun.Add(1)
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
	w.begun = at
	return s, nil
}

// createTemp creates the file of s, which begins at the given time, under a temporary name of its own.
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
		n.start = n.start.Add(1) // another recorder has begun one at the same time
	}
}

// setOpen makes s the open segment; nil: there is none.
func (w *writer) setOpen(s *segment) {
	w.open = s
	w.syncer.set(s)
}
