package record

import (
	"encoding/hex"
	"hash"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// segment is a file that is being written, and what its line of the manifest will say.
type segment struct {
	file file
	temp string // its path until it is finished
	path string // the wanted path of the finished file
	raw  bool

	stats
	hash          hash.Hash // nil if nothing needs it
	size          int64     // whole packets, as written
	injected      int64     // part of size: bytes that are not the stream's
	dropped, gaps int64
	start, end    time.Time // when its first and last bytes arrived
	reason        Reason

	syncing   sync.Mutex
	notSynced error // the first error of a sync

	// pos is the position of its end in the stream.
	pos int64
	// began is its begin by the stream's clock, lasts its wanted length, both in units of 1/90000 s.
	began, lasts int64
	// afterGap says that its timestamps may not continue those of the file before.
	afterGap bool
	// length is its length, in the same units; -1 if only its timestamps say.
	length int64
}

// write appends b and counts it. b is whole packets or, with unit 1, any bytes. On an error kept is what the segment
// keeps, up to the last whole unit; the file may be longer.
func (s *segment) write(b []byte, unit int) (kept int, err error) {
	n, err := s.file.Write(b)
	if err != nil {
		n -= n % unit
	}
	s.size += int64(n)
	if s.hash != nil {
		_, _ = s.hash.Write(b[:n]) // it never fails
	}
	return n, err
}

// inject writes tables in front of the segment.
func (s *segment) inject(tables []byte) error {
	if len(tables) == 0 {
		return nil
	}
	n, err := s.write(tables, mpegts.PacketSize)
	if err != nil {
		return err
	}
	s.injected = int64(n)
	s.packets = int64(n / mpegts.PacketSize)
	s.leadingTables = mpegts.PAT | mpegts.PMT
	return nil
}

// duration returns its length in units of 1/90000 s: by the stream's clock if known, else by its timestamps.
func (s *segment) duration(e *Entry) int64 {
	if s.length >= 0 {
		return s.length
	}
	return e.length()
}

// empty reports whether it has no bytes of the stream.
func (s *segment) empty() bool { return s.size == s.injected }

// entry returns its line of the manifest, without the name of the file.
func (s *segment) entry() Entry {
	e := Entry{
		Start: s.start.UTC(), End: s.end.UTC(),
		Bytes: s.size, Packets: s.packets, Frames: s.frames, Keyframes: s.keyframes,
		StartsAtKeyframe: s.startsAtKeyframe, Reason: s.reason,
		Injected: s.injected, Dropped: s.dropped, Gaps: s.gaps,
	}
	e.PTSStart, e.PTSEnd = s.ptsRange()
	if s.hash != nil {
		e.SHA256 = hex.EncodeToString(s.hash.Sum(nil))
	}
	return e
}
