package mpegts

import (
	"bytes"
	"slices"
)

// maxPrograms is how many programs, and how many PIDs of PMTs, are followed at once.
const maxPrograms = 64

// pidSet has one bit for each PID. (A connection or a file has a Scanner of its own, and is to be small.)
type pidSet [NumPIDs / 64]uint64

func (s *pidSet) has(pid uint16) bool { return s[pid/64]>>(pid%64)&1 != 0 }
func (s *pidSet) add(pid uint16)      { s[pid/64] |= 1 << (pid % 64) }

// programs are the programs of a stream, told apart by their program_number.
type programs struct {
	pat     sectionReader
	pmts    []pmtReader
	pmtPIDs pidSet
	all     []*program // those that the last PAT names first
	tables  *Tables
	next    Counters // expected of the next packets of the PAT and of the PMT's PID
	learned uint16   // PID of a stream that only its PES packets show to be video; 0: none
}

type pmtReader struct {
	sectionReader
	pid uint16
}

type program struct {
	number  uint16
	pid     uint16 // of the PMT
	named   bool   // by the last PAT
	pat     []byte // the PAT's section that names it
	pmt     []byte // its PMT's section, nil before it has come
	streams []Stream
	pcrPID  uint16
}

// Tables returns the PAT and PMT in force, nil until both have come, and the counters of the last packets on their
// PIDs.
func (s *Scanner) Tables() (*Tables, Counters) {
	next := s.programs.next
	return s.programs.tables, Counters{PAT: (next.PAT - 1) & 0x0F, PMT: (next.PMT - 1) & 0x0F}
}

// carries reports whether the program that is followed has a stream on the PID.
func (ps *programs) carries(pid uint16) bool { return ps.tables != nil && ps.tables.Carries(pid) }

// samePayload reports whether p repeats the table of one packet that is known already.
func samePayload(p Packet, known []byte) bool {
	return len(known) == PacketSize && p.PayloadUnitStart() && bytes.Equal(p.Payload(), Packet(known).Payload())
}

func (s *Scanner) readPAT(p Packet) {
	ps := &s.programs
	s.mark |= PSI
	if p.HasPayload() {
		ps.next.PAT = p.Continuity() + 1
	}
	if ps.tables != nil && samePayload(p, ps.tables.pat) {
		s.mark |= PAT
		return
	}
	changed := false
	ps.pat.read(p, func(section []byte) {
		s.mark |= PAT
		changed = ps.name(section) || changed
	})
	if changed {
		s.follow()
	}
}

func (s *Scanner) readPMT(pid uint16, p Packet) {
	ps := &s.programs
	s.mark |= PSI
	if ps.tables != nil && pid == ps.tables.PMTPID {
		if p.HasPayload() {
			ps.next.PMT = p.Continuity() + 1
		}
		if samePayload(p, ps.tables.pmt) {
			s.mark |= PMT
			return
		}
	}
	changed := false
	for i := range ps.pmts {
		if ps.pmts[i].pid == pid {
			ps.pmts[i].read(p, func(section []byte) {
				complete, new := ps.setPMT(pid, section)
				if complete {
					s.mark |= PMT
				}
				changed = changed || new
			})
		}
	}
	if changed {
		s.follow()
		if ps.tables != nil && pid == ps.tables.PMTPID && p.HasPayload() {
			ps.next.PMT = p.Continuity() + 1
		}
	}
}

// name takes a PAT's section: the programs that it names come first. Older ones stay after them for a while, because
// two multiplexes may have been interleaved, each with a PAT of its own. It returns false when there is nothing new.
func (ps *programs) name(section []byte) bool {
	entries := parsePAT(section)
	if len(entries) == 0 {
		return false
	}
	section = bytes.Clone(section)
	old := ps.all
	ps.all = nil
	for _, e := range entries {
		if e.pid == PIDPAT || e.pid == PIDNull || len(ps.all) == maxPrograms {
			continue
		}
		i := slices.IndexFunc(old, func(p *program) bool { return p.number == e.number })
		var p *program
		if i >= 0 {
			p = old[i]
			old = slices.Delete(old, i, i+1)
		} else {
			p = &program{number: e.number}
		}
		p.pid, p.pat, p.named = e.pid, section, true
		ps.all = append(ps.all, p)
	}
	for _, p := range old {
		if len(ps.all) < maxPrograms {
			// A PAT of several sections takes several rounds to name all.
			p.named = p.named && section[7] > 0 && p.pat[6] != section[6]
			ps.all = append(ps.all, p)
		}
	}
	ps.pmtPIDs = pidSet{}
	ps.pmts = slices.DeleteFunc(ps.pmts, func(r pmtReader) bool {
		return !slices.ContainsFunc(ps.all, func(p *program) bool { return p.pid == r.pid })
	})
	for _, p := range ps.all {
		ps.pmtPIDs.add(p.pid)
		if !slices.ContainsFunc(ps.pmts, func(r pmtReader) bool { return r.pid == p.pid }) {
			ps.pmts = append(ps.pmts, pmtReader{pid: p.pid})
		}
	}
	return true
}

// setPMT takes a PMT's section. It reports whether it is one of a program that the PAT names, and whether it is new.
func (ps *programs) setPMT(pid uint16, section []byte) (complete, changed bool) {
	t, ok := parsePMT(section)
	if !ok {
		return false, false
	}
	for _, p := range ps.all {
		if p.number == t.number && p.pid == pid {
			if bytes.Equal(p.pmt, section) {
				return true, false
			}
			p.pmt, p.streams, p.pcrPID = bytes.Clone(section), t.streams, t.pcrPID
			return true, true
		}
	}
	return false, false
}

// video returns the first video stream of a program.
func (ps *programs) video(p *program) (Stream, bool) {
	for _, s := range p.streams {
		if !ps.pmtPIDs.has(s.PID) && s.PID != PIDPAT && (s.IsVideo() || s.PID == ps.learned && s.PID != 0) {
			return s, true
		}
	}
	return Stream{}, false
}

// choose returns the program to follow and the stream by which to mark: the first program with video, else the first
// with anything. A program that is followed for its video stays followed while the PAT names it.
func (ps *programs) choose(current uint16, keep bool) (chosen *program, stream Stream) {
	for _, p := range ps.all {
		v, ok := ps.video(p)
		switch {
		case ok && keep && p.named && v.PID == current:
			return p, v
		case ok && (chosen == nil || !ps.isVideo(chosen)):
			chosen, stream = p, v
		case chosen == nil && len(p.streams) > 0:
			chosen, stream = p, p.streams[0]
		}
	}
	return chosen, stream
}

func (ps *programs) isVideo(p *program) bool {
	_, ok := ps.video(p)
	return ok
}

// isNamed reports whether the PAT still names a program.
func (ps *programs) isNamed(number uint16) bool {
	return slices.ContainsFunc(ps.all, func(p *program) bool { return p.number == number && p.named })
}

// follow chooses what to follow after a table has changed.
func (s *Scanner) follow() {
	ps := &s.programs
	chosen, stream := ps.choose(s.followed.PID, s.followsVideo && s.begun)
	if chosen == nil {
		return
	}
	before, video := ps.tables, ps.isVideo(chosen)
	t := &Tables{
		pat:     appendSection(nil, PIDPAT, chosen.pat),
		pmt:     appendSection(nil, chosen.pid, chosen.pmt),
		Streams: chosen.streams,
		PMTPID:  chosen.pid,
		PCRPID:  chosen.pcrPID,
		number:  chosen.number,
	}
	if before != nil && bytes.Equal(before.pat, t.pat) && bytes.Equal(before.pmt, t.pmt) &&
		s.followed.PID == stream.PID && s.followsVideo == video {
		return
	}
	ps.tables = t
	var changed Change
	if before != nil {
		changed = before.changes(t, s.followed.PID, stream, ps.isNamed(before.number))
	}
	s.change |= changed
	if stream.PID == PIDPAT || ps.pmtPIDs.has(stream.PID) {
		stream.PID = 0
	}
	if stream != s.followed || video != s.followsVideo || changed&CodecChanged != 0 || before == nil {
		s.followStream(stream, video)
	}
}

// followStream begins to mark by another stream.
func (s *Scanner) followStream(stream Stream, video bool) {
	s.followed, s.followsVideo = stream, video
	s.resolve(0)
	s.reading = false
	s.pes, s.au = pesState{}, accessUnit{number: s.au.number}
	s.unit.codec, s.unit.inUnit = stream.codec(), false
	s.unit.interlaced, s.unit.firstField, s.unit.mpeg = false, field{}, mpegState{}
	s.sets.reset()
	s.trust = trust{}
	s.clock.known = false
}

// findVideo looks for video that no PMT names as such, at a PES packet of a PID that is not followed, and follows it.
func (s *Scanner) findVideo(pid uint16, p Packet) bool {
	ps := &s.programs
	if h := p.pesHeader(); h == nil || h[3]&0xF0 != 0xE0 && detectCodec(p.elementaryStream()) == codecUnknown {
		return false
	}
	if ps.tables == nil {
		ps.learned = pid
		s.followStream(Stream{PID: pid}, true)
		return true
	}
	for _, program := range ps.all {
		for _, stream := range program.streams {
			if stream.PID == pid && stream.Type.maybeVideo() {
				ps.learned = pid
				s.follow()
				return s.followed.PID == pid && s.followsVideo
			}
		}
	}
	return false
}
