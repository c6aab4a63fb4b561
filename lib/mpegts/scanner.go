package mpegts

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Mark says what a packet is to somebody who cuts or counts a stream.
type Mark uint8

const (
	// PSI: the packet carries a table or nothing; it belongs to what follows it.
	PSI Mark = 1 << iota
	// PAT and PMT: a table of the program is complete with this packet.
	PAT
	PMT
	// RandomAccess: decoding can start at this packet (after PAT and PMT).
	RandomAccess
	// AccessUnit: an access unit of the video begins in this packet.
	AccessUnit
)

// Scanner follows a stream packet by packet and marks the packets. It looks at the video PID only, since muxers set
// random_access_indicator on every audio packet; a program without video is marked at its first stream's PES packets.
// While no PMT has come, the video PID is learned from the PES headers.
//
// The zero value is ready. It holds 1 KiB.
type Scanner struct {
	pmts       pidSet // those of maps
	pat        sectionReader
	patPackets []byte
	programs   []*program

	followedPID  uint16 // the PID that is followed, never one of pmts; 0: none
	followsVideo bool   // it carries video; else it is the first stream of a program without
	video        StreamType

	tables  *Tables
	next    Counters // expected of the next table; most streams begin with 0
	learned bool     // the video PID comes from a PES header
}

// maxPrograms is how many programs are followed at once.
const maxPrograms = 64

// pidSet has one bit for each PID: a connection or a file has a Scanner of its own, and is to be small.
type pidSet [NumPIDs / 64]uint64

func (s *pidSet) has(pid uint16) bool { return s[pid/64]>>(pid%64)&1 != 0 }
func (s *pidSet) add(pid uint16)      { s[pid/64] |= 1 << (pid % 64) }
func (s *pidSet) remove(pid uint16)   { s[pid/64] &^= 1 << (pid % 64) }

type program struct {
	sectionReader
	packets []byte
	pid     uint16
	streams []Stream
}

// Tables returns the PAT and PMT in force, nil until both have come, and the counters of their last packets.
func (s *Scanner) Tables() (*Tables, Counters) {
	return s.tables, Counters{PAT: (s.next.PAT - 1) & 0x0F, PMT: (s.next.PMT - 1) & 0x0F}
}

// Packet takes the next packet of the stream.
func (s *Scanner) Packet(p Packet) Mark {
	pid := p.PID()
	if pid == s.followedPID && pid != PIDPAT {
		switch {
		case !p.PayloadUnitStart():
			return 0
		case !s.followsVideo:
			return RandomAccess
		case p.RandomAccess() || beginsWithKeyframe(s.video, p.elementaryStream()):
			return RandomAccess | AccessUnit
		}
		return AccessUnit
	}
	switch {
	case s.pmts.has(pid):
		return s.addPMT(pid, p)
	case pid == PIDPAT:
		return s.addPAT(p)
	case pid < pidFirstFree || pid == PIDNull:
		return PSI
	case s.video == streamUnknown && !s.learned && p.isVideoPES():
		s.followedPID, s.followsVideo, s.learned = pid, true, true
		return s.Packet(p)
	}
	return 0
}

// SkipPayload returns how many bytes at the beginning of b, which is where a packet should begin, are whole packets that carry
// nothing but the middle of a PES packet of the PID that is followed. Most are such, there is nothing to know of them,
// and they need not be passed to Packet.
func (s *Scanner) SkipPayload(b []byte) (n int) {
	if s.followedPID == PIDPAT {
		return 0
	}
	const (
		fields = 0xFF<<24 | 0x40<<16 | 0x1FFF<<8 | 0x30 // sync byte, start, PID, adaptation field and payload
		none   = SyncByte<<24 | 0x10
	)
	header := none | uint32(s.followedPID)<<8
	for n+PacketSize <= len(b) && binary.BigEndian.Uint32(b[n:])&fields == header {
		n += PacketSize
	}
	return n
}

func (s *Scanner) addPAT(p Packet) Mark {
	if p.HasPayload() {
		s.next.PAT = p.Continuity() + 1
	}
	if s.tables != nil && samePayload(p, s.tables.pat) {
		return PSI | PAT
	}
	mark := PSI
	s.pat.read(p, func(section []byte) {
		mark |= PAT
		s.patPackets = appendSection(s.patPackets[:0], PIDPAT, section)
		s.setPrograms(parsePAT(section))
		s.follow()
	})
	return mark
}

// setPrograms puts the PMTs that a PAT names first. Older ones stay behind them for a while: two multiplexes may have been
// interleaved, each with a PAT of its own.
func (s *Scanner) setPrograms(named []uint16) {
	var maps []*program
	for _, pid := range named {
		if pid < pidFirstFree || pid == PIDNull {
			continue
		}
		if i := slices.IndexFunc(s.programs, func(m *program) bool { return m.pid == pid }); i >= 0 {
			maps = append(maps, s.programs[i])
			s.programs = slices.Delete(s.programs, i, i+1)
		} else if !s.pmts.has(pid) {
			s.pmts.add(pid)
			if pid == s.followedPID {
				s.followedPID = 0
			}
			maps = append(maps, &program{pid: pid})
		}
	}
	s.programs = append(maps, s.programs...)
	for len(s.programs) > maxPrograms {
		last := len(s.programs) - 1
		s.pmts.remove(s.programs[last].pid)
		s.programs = s.programs[:last]
	}
}

func (s *Scanner) addPMT(pid uint16, p Packet) Mark {
	if s.tables != nil && pid == s.tables.PMTPID {
		if p.HasPayload() {
			s.next.PMT = p.Continuity() + 1
		}
		if samePayload(p, s.tables.pmt) {
			return PSI | PMT
		}
	}
	for _, m := range s.programs {
		if m.pid != pid {
			continue
		}
		mark := PSI
		m.read(p, func(section []byte) {
			mark |= PMT
			if streams := parsePMT(section); streams != nil {
				m.streams, m.packets = streams, appendSection(m.packets[:0], pid, section)
				s.follow()
				if s.tables != nil && pid == s.tables.PMTPID {
					s.next.PMT = p.Continuity() + 1
				}
			}
		})
		return mark
	}
	return PSI
}

// samePayload reports whether p repeats the table of one packet that is already known.
func samePayload(p Packet, known []byte) bool {
	return len(known) == PacketSize && p.PayloadUnitStart() && bytes.Equal(p.Payload(), Packet(known).Payload())
}

// follow decides which program and which PID to follow, after a table has changed: the first program that has video,
// else the first that has anything.
func (s *Scanner) follow() {
	var chosen *program
	var lead Stream
	for _, m := range s.programs {
		if chosen == nil && len(m.streams) > 0 {
			chosen, lead = m, m.streams[0]
		}
		if v, ok := firstVideo(m.streams); ok {
			chosen, lead = m, v
			break
		}
	}
	if chosen == nil || len(s.patPackets) == 0 {
		return
	}
	s.followedPID, s.followsVideo, s.video, s.learned = 0, false, streamUnknown, true
	if lead.PID >= pidFirstFree && !s.pmts.has(lead.PID) {
		s.followedPID = lead.PID
		if s.followsVideo = lead.Type.IsVideo(); s.followsVideo {
			s.video = lead.Type
		}
	}
	s.tables = &Tables{
		pat:     bytes.Clone(s.patPackets),
		pmt:     bytes.Clone(chosen.packets),
		Streams: chosen.streams,
		PMTPID:  chosen.pid,
	}
}

func firstVideo(streams []Stream) (Stream, bool) {
	for _, s := range streams {
		if s.Type.IsVideo() {
			return s, true
		}
	}
	return Stream{}, false
}
