package main

import (
	"maps"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// sightings are when the frames of a stream came of which some may be missing. A frame has come when its first packet
// has, which its PTS names.
type sightings struct {
	part []byte // of a packet
	came map[int]time.Time
}

func newSightings() *sightings { return &sightings{came: map[int]time.Time{}} }

// add takes what came, of whole packets in order but for where it is cut.
func (s *sightings) add(b []byte, now time.Time) {
	for len(b) > 0 {
		n := min(len(b), mpegts.PacketSize-len(s.part))
		s.part = append(s.part, b[:n]...)
		b = b[n:]
		if len(s.part) < mpegts.PacketSize {
			return
		}
		p := mpegts.Packet(s.part)
		s.part = s.part[:0]
		if p[0] != mpegts.SyncByte || p.PID() != tsgen.VideoPID || !p.PayloadUnitStart() {
			continue
		}
		if pts, ok := p.PTS(); ok {
			s.came[int(pts/tsgen.FrameTicks)] = now
		}
	}
}

// watchFrames makes the receiver note when each frame comes.
func (r *receiver) watchFrames() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sightings = newSightings()
}

// framesSeen returns when each frame came that has.
func (r *receiver) framesSeen() map[int]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.sightings.came)
}
