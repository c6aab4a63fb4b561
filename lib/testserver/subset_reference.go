package testserver

import (
	"bytes"
	"errors"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// source is a stream that what arrives is compared with, packet by packet, cut into groups of pictures.
type source struct {
	data    []byte // whole packets
	groups  []group
	tables  map[string]bool // PAT, PMT and the like, without their counters
	maps    map[uint16]bool // their PIDs
	payload map[uint16]bool // the PIDs that carry any; the others have nothing but a clock
	longest int             // how many tables and null packets follow each other at most
}

// group is a group of pictures, in packets of the source. The first begins with the source, whether or not with a
// keyframe.
type group struct {
	first  int // its first packet: PAT and PMT, where they stand in front of the keyframe
	access int // the keyframe's first packet; -1: none, at the source's start
	end    int // the packet behind it
}

func newSource(data []byte) (*source, error) {
	s := &source{data: data, tables: make(map[string]bool), maps: make(map[uint16]bool), payload: make(map[uint16]bool)}
	if len(data) == 0 || len(data)%mpegts.PacketSize != 0 {
		return nil, errors.New("not a whole number of packets of 188 bytes")
	}
	var scan mpegts.Scanner
	tables := 0 // where the run of tables begins that ends here
	for i := range s.packets() {
		p := s.packet(i)
		if p[0] != mpegts.SyncByte {
			return nil, errors.New("not MPEG-TS: no sync byte at " + place(int64(i)*mpegts.PacketSize, nil))
		}
		if p.HasPayload() {
			s.payload[p.PID()] = true
		}
		mark := scan.Packet(p)
		if mark&mpegts.PSI != 0 {
			if pid := p.PID(); pid != mpegts.PIDNull {
				s.tables[tableKey(p)], s.maps[pid] = true, true
			}
			s.longest = max(s.longest, i+1-tables)
			continue
		}
		if mark&mpegts.RandomAccess != 0 {
			if n := len(s.groups); n > 0 {
				s.groups[n-1].end = tables
			} else if tables > 0 {
				s.groups = append(s.groups, group{0, -1, tables})
			}
			s.groups = append(s.groups, group{tables, i, 0})
		}
		tables = i + 1
	}
	if len(s.groups) == 0 {
		return nil, errors.New("no group of pictures: nowhere does decoding start")
	}
	s.groups[len(s.groups)-1].end = s.packets()
	return s, nil
}

func (s *source) packets() int { return len(s.data) / mpegts.PacketSize }

func (s *source) packet(i int) mpegts.Packet {
	return s.data[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize]
}

// at returns the group that a packet belongs to; the last one for the source's end.
func (s *source) at(packet int) int {
	for g := range s.groups {
		if packet < s.groups[g].end {
			return g
		}
	}
	return len(s.groups) - 1
}

// isTable reports whether p is one of the source's tables, whatever its counter, or a null packet.
func (s *source) isTable(p mpegts.Packet) bool {
	pid := p.PID()
	return pid == mpegts.PIDNull || (pid < 0x20 || s.maps[pid]) && s.tables[tableKey(p)]
}

func tableKey(p mpegts.Packet) string {
	return string([]byte{p[1], p[2], p[3] & 0xF0}) + string(p[4:])
}

// tablesBefore returns where the tables begin that stand in front of a packet and that came, in this order.
func (s *source) tablesBefore(packet int, came []string) int {
	for i := len(came) - 1; i >= 0 && packet > 0 && s.isTable(s.packet(packet-1)); i-- {
		if came[i] == tableKey(s.packet(packet-1)) {
			packet--
		}
	}
	return packet
}

// findGroup returns the group that begins with the keyframe packet p: the next one from the group on, else the first;
// -1 when there is none.
func (s *source) findGroup(p mpegts.Packet, from int) int {
	found := -1
	for g := range s.groups {
		if a := s.groups[g].access; a >= 0 && bytes.Equal(s.packet(a), p) && (found < 0 || found < from && g >= from) {
			found = g
		}
	}
	return found
}

// find returns the first packet that equals p, -1 when there is none.
func (s *source) find(p mpegts.Packet) int {
	for i := range s.packets() {
		if bytes.Equal(s.packet(i), p) {
			return i
		}
	}
	return -1
}

// ownTables reports whether PAT and PMT stand in front of the group's keyframe.
func (s *source) ownTables(g group) (pat, pmt bool) {
	for i := g.first; i < g.access; i++ {
		ofPAT, ofPMT := tableOf(s.packet(i).PID())
		pat, pmt = pat || ofPAT, pmt || ofPMT
	}
	return pat, pmt
}

// tableOf reports whether a PID with tables or null packets is the PAT's or a PMT's.
func tableOf(pid uint16) (pat, pmt bool) {
	return pid == mpegts.PIDPAT, pid >= 0x20 && pid != mpegts.PIDNull
}
