package record

import (
	"encoding/hex"
	"hash"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// segment is a file that is being written, and what will be said of it.
type segment struct {
	file file
	temp string // its path until it is finished
	path string // the path that it wants
	raw  bool

	tally
	hash          hash.Hash // nil: nobody asked for it
	size          int64     // whole, as written
	injected      int64     // of size, not the stream's
	dropped, gaps int64
	start, end    time.Time // when its first and its last bytes arrived
	reason        Reason

	syncing   sync.Mutex
	notSynced error // the first error of a sync

	// pos is the stream's position behind it.
	pos int64
	// began is the time of the stream's clock, and lasts how long it is to be, both in units of 1/90000 s.
	began, lasts int64
	// afterGap says that its timestamps may not follow those of the file before.
	afterGap bool
	// length is how long it is, in the same units; -1: only its timestamps tell.
	length int64
}

// write appends b, whole packets or bytes of another kind, and counts it. When it fails, it says how many bytes can be
// kept: up to the last whole unit. The file may be longer then.
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

// inject puts tables in front of everything, if there are any.
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
	s.tables = mpegts.PAT | mpegts.PMT
	return nil
}

// duration is how long it is, in units of 1/90000 s: by the clock of the recording, or else by its timestamps.
func (s *segment) duration(e *Entry) int64 {
	if s.length >= 0 {
		return s.length
	}
	return e.length()
}

// empty reports whether nothing of the stream is in it.
func (s *segment) empty() bool { return s.size == s.injected }

// entry is its line of the manifest. The name of the file is the finisher's to fill in.
func (s *segment) entry() Entry {
	e := Entry{
		Start: s.start.UTC(), End: s.end.UTC(),
		Bytes: s.size, Packets: s.packets, Frames: s.frames, Keyframes: s.keyframes,
		StartsAtKeyframe: s.atKeyframe, Reason: s.reason,
		Injected: s.injected, Dropped: s.dropped, Gaps: s.gaps,
	}
	e.PTSStart, e.PTSEnd = s.ptsRange()
	if s.hash != nil {
		e.SHA256 = hex.EncodeToString(s.hash.Sum(nil))
	}
	return e
}
