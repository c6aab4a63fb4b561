// Package subset checks that what a live sender delivered is a subset of the MPEG transport stream that it was given:
// whole groups of pictures may be missing, and a connection may repeat what came on the one before, but no packet is
// lost, changed or out of order inside a connection.
//
// A sender may insert what a decoder needs: PSI (PAT, PMT), packets that announce a discontinuity, and in front of the
// keyframe with which a connection begins the parameter sets that came before it (mpegts.ParameterSets). Whether it
// announces each gap is not checked here.
package subset

import (
	"bytes"
	"errors"
	"slices"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/testserver/internal/bytediff"
)

// Reference is the stream that connections are compared with, packet by packet. It is divided into groups of pictures,
// which are numbered from 1 in messages.
type Reference struct {
	data    []byte // whole packets
	groups  []group
	psi     map[string]bool // the packets with PSI, by their psiKey
	psiPIDs map[uint16]bool
	pmtPIDs map[uint16]bool
	payload map[uint16]bool // the PIDs with payload; the others have nothing but a clock
	psiRun  int             // the longest run of PSI and null packets
}

// group is a group of pictures, in packets of the reference. The first begins with the reference, whether or not with a
// keyframe.
type group struct {
	first  int // its first packet: the PSI in front of the keyframe, if there is any
	access int // the keyframe's first packet; -1: none, at the start of the reference
	end    int // the packet after its last
	// sets are the packets with the parameter sets that a connection needs that begins here; nil: the keyframe has
	// them.
	sets []byte
}

// NewReference divides a stream, which it keeps, into groups of pictures. The stream must consist of whole packets and
// have a random access point.
func NewReference(stream []byte) (*Reference, error) {
	r := &Reference{data: stream,
		psi: make(map[string]bool), psiPIDs: make(map[uint16]bool), pmtPIDs: make(map[uint16]bool),
		payload: make(map[uint16]bool)}
	if len(stream) == 0 || len(stream)%mpegts.PacketSize != 0 {
		return nil, errors.New("not a whole number of packets of 188 bytes")
	}
	for i := range r.numPackets() {
		if r.packet(i)[0] != mpegts.SyncByte {
			return nil, errors.New("not MPEG-TS: no sync byte at " + bytediff.Location(int64(i)*mpegts.PacketSize, nil))
		}
	}
	marks, sets := r.scan()
	psiStart := 0 // where the run of PSI begins that ends at the current packet
	for i, mark := range marks {
		p := r.packet(i)
		if p.HasPayload() {
			r.payload[p.PID()] = true
		}
		if mark&mpegts.PSI != 0 {
			if pid := p.PID(); pid != mpegts.PIDNull {
				r.psi[psiKey(p)], r.psiPIDs[pid] = true, true
				r.pmtPIDs[pid] = r.pmtPIDs[pid] || mark&mpegts.PMT != 0
			}
			r.psiRun = max(r.psiRun, i+1-psiStart)
			continue
		}
		if mark&mpegts.RandomAccess != 0 {
			r.startGroup(psiStart, i, sets[i])
		}
		psiStart = i + 1
	}
	if len(r.groups) == 0 {
		return nil, errors.New("no group of pictures: no packet is a random access point")
	}
	r.groups[len(r.groups)-1].end = r.numPackets()
	return r, nil
}

// scan returns the mark of each packet, and for the keyframes that lack parameter sets the packets with these sets.
func (r *Reference) scan() (marks []mpegts.Mark, sets map[int][]byte) {
	var scanner mpegts.Scanner
	marks, sets = make([]mpegts.Mark, r.numPackets()), make(map[int][]byte)
	set := func(i int, mark mpegts.Mark) {
		marks[i] = mark
		const both = mpegts.RandomAccess | mpegts.MissesSets
		if missing := scanner.MissingSets(); mark&both == both && missing != nil {
			sets[i] = missing.AppendPES(nil, r.packet(i))
		}
	}
	undecided := 0
	for i := range marks {
		mark := scanner.Packet(r.packet(i))
		if mark&mpegts.Decided != 0 {
			set(undecided, scanner.Decision())
		}
		if mark&mpegts.Undecided != 0 {
			undecided = i
		}
		set(i, mark)
	}
	if mark, ok := scanner.Decide(); ok {
		set(undecided, mark)
	}
	return marks, sets
}

func (r *Reference) startGroup(first, access int, sets []byte) {
	if n := len(r.groups); n > 0 {
		r.groups[n-1].end = first
	} else if first > 0 {
		r.groups = append(r.groups, group{access: -1, end: first})
	}
	r.groups = append(r.groups, group{first: first, access: access, sets: sets})
}

func (r *Reference) numPackets() int { return len(r.data) / mpegts.PacketSize }

func (r *Reference) packet(i int) mpegts.Packet {
	return r.data[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize]
}

// is reports whether p is packet i of the reference.
func (r *Reference) is(i int, p mpegts.Packet) bool {
	return i >= 0 && i < r.numPackets() && bytes.Equal(p, r.packet(i))
}

// groupOf returns the index of the group that packet i belongs to; the last one for the end of the reference.
func (r *Reference) groupOf(i int) int {
	for g := range r.groups {
		if i < r.groups[g].end {
			return g
		}
	}
	return len(r.groups) - 1
}

// isPSI reports whether p is one of the reference's packets with PSI, whatever its continuity counter, or a null
// packet.
func (r *Reference) isPSI(p mpegts.Packet) bool {
	pid := p.PID()
	return pid == mpegts.PIDNull || (pid < 0x20 || r.psiPIDs[pid]) && r.psi[psiKey(p)]
}

// psiKey is what a packet carries on its PID. Who inserts PSI sets the continuity counter, and may put the stuffing
// into the adaptation field or after the section.
func psiKey(p mpegts.Packet) string {
	return string([]byte{p[1], p[2]}) + string(bytes.TrimRight(p.Payload(), "\xFF"))
}

// skipBack returns where the PSI begins that stands in front of packet i and that came, in this order.
func (r *Reference) skipBack(i int, came []string) int {
	for n := len(came) - 1; n >= 0 && i > 0 && r.isPSI(r.packet(i-1)); n-- {
		if came[n] == psiKey(r.packet(i-1)) {
			i--
		}
	}
	return i
}

// findGroup returns the group whose keyframe begins with packet p: the next one from the group on, else the first, else
// -1.
func (r *Reference) findGroup(p mpegts.Packet, from int) int {
	found := -1
	for g := range r.groups {
		if a := r.groups[g].access; a >= 0 && r.is(a, p) && (found < 0 || found < from && g >= from) {
			found = g
		}
	}
	return found
}

// find returns the first packet that equals p, -1 if there is none.
func (r *Reference) find(p mpegts.Packet) int {
	for i := range r.numPackets() {
		if r.is(i, p) {
			return i
		}
	}
	return -1
}

// ownPSI reports whether a PAT and a PMT stand in front of the group's keyframe.
func (r *Reference) ownPSI(g group) (pat, pmt bool) {
	for i := g.first; i < g.access; i++ {
		pid := r.packet(i).PID()
		pat, pmt = pat || pid == mpegts.PIDPAT, pmt || r.pmtPIDs[pid]
	}
	return pat, pmt
}

// findSets returns the group that needs the parameter sets whose first packet is p, -1 if there is none.
func (r *Reference) findSets(p mpegts.Packet) int {
	return slices.IndexFunc(r.groups, func(g group) bool { return bytes.HasPrefix(g.sets, p) })
}

// nearest returns the place closest to packet i, and not before the minimum, where the reference has the same packets
// as from one packet to another; ok is false if there is none.
func (r *Reference) nearest(i, minimum, from, to int) (start int, ok bool) {
	run := r.data[from*mpegts.PacketSize : to*mpegts.PacketSize]
	same := func(i int) bool {
		return i >= minimum && i < r.numPackets() && bytes.HasPrefix(r.data[i*mpegts.PacketSize:], run)
	}
	for distance := range r.numPackets() {
		if same(i - distance) {
			return i - distance, true
		}
		if same(i + distance) {
			return i + distance, true
		}
	}
	return 0, false
}
