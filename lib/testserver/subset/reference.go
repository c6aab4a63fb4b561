// Package subset checks that what a live sender delivered is a subset of the MPEG transport stream that it was given:
// whole groups of pictures may be missing, and a connection may repeat what came on the one before, but no packet is
// lost, changed or out of order inside a connection.
//
// A sender may add what a decoder needs after a gap: PSI (PAT, PMT) and packets that announce a discontinuity. Whether
// it announces each gap is not checked here.
package subset

import (
	"bytes"
	"errors"

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
	payload map[uint16]bool // the PIDs with payload; the others have nothing but a clock
	psiRun  int             // the longest run of PSI and null packets
}

// group is a group of pictures, in packets of the reference. The first begins with the reference, whether or not with a
// keyframe.
type group struct {
	first  int // its first packet: the PSI in front of the keyframe, if there is any
	access int // the keyframe's first packet; -1: none, at the start of the reference
	end    int // the packet after its last
}

// NewReference divides a stream, which it keeps, into groups of pictures. The stream must consist of whole packets and
// have a random access point.
func NewReference(stream []byte) (*Reference, error) {
	r := &Reference{data: stream,
		psi: make(map[string]bool), psiPIDs: make(map[uint16]bool), payload: make(map[uint16]bool)}
	if len(stream) == 0 || len(stream)%mpegts.PacketSize != 0 {
		return nil, errors.New("not a whole number of packets of 188 bytes")
	}
	marks := new(mpegts.Scanner).AppendMarks(nil, stream)
	psiStart := 0 // where the run of PSI begins that ends at the current packet
	for i := range r.numPackets() {
		p := r.packet(i)
		if p[0] != mpegts.SyncByte {
			return nil, errors.New("not MPEG-TS: no sync byte at " + bytediff.Location(int64(i)*mpegts.PacketSize, nil))
		}
		if p.HasPayload() {
			r.payload[p.PID()] = true
		}
		mark := marks[i]
		if mark&mpegts.PSI != 0 {
			if pid := p.PID(); pid != mpegts.PIDNull {
				r.psi[psiKey(p)], r.psiPIDs[pid] = true, true
			}
			r.psiRun = max(r.psiRun, i+1-psiStart)
			continue
		}
		if mark&mpegts.RandomAccess != 0 {
			r.startGroup(psiStart, i)
		}
		psiStart = i + 1
	}
	if len(r.groups) == 0 {
		return nil, errors.New("no group of pictures: no packet is a random access point")
	}
	r.groups[len(r.groups)-1].end = r.numPackets()
	return r, nil
}

func (r *Reference) startGroup(first, access int) {
	if n := len(r.groups); n > 0 {
		r.groups[n-1].end = first
	} else if first > 0 {
		r.groups = append(r.groups, group{0, -1, first})
	}
	r.groups = append(r.groups, group{first, access, 0})
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

// psiKey is a packet without its continuity counter, which whoever inserts it sets anew.
func psiKey(p mpegts.Packet) string {
	return string([]byte{p[1], p[2], p[3] & 0xF0}) + string(p[4:])
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
		isPAT, isPMT := psiKind(r.packet(i).PID())
		pat, pmt = pat || isPAT, pmt || isPMT
	}
	return pat, pmt
}

// psiKind tells the PAT and a PMT from other PSI and null packets by their PID.
func psiKind(pid uint16) (pat, pmt bool) {
	return pid == mpegts.PIDPAT, pid >= 0x20 && pid != mpegts.PIDNull
}
