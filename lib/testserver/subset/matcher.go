package subset

import (
	"bytes"
	"fmt"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/testserver/internal/bytediff"
)

// Matcher finds the packets of one connection in the reference. PSI may come anywhere, as a sender inserts it where it
// is missing; so may packets that announce a discontinuity. Where a group follows that is not the next one, PAT and PMT
// must stand in front of it if they do in the reference, and the other streams may resume at their next PES packet.
type Matcher struct {
	reference *Reference
	partial   []byte // the start of a packet
	offset    int64  // of the next packet, in the connection

	next     int             // the packet of the reference that is expected
	matched  int             // the packet after the last one that came and has no PSI; 0: none yet
	afterGap bool            // this run follows a gap: streams may resume after its beginning
	resumed  map[uint16]bool // those that have

	// Since the last packet without PSI:
	pat, pmt          bool
	firstUnexpected   []byte // the first packet with PSI that was not the expected one
	firstUnexpectedAt int64
	insertedPSI       int // how many packets of PSI count as injected

	leadingPSI []string // the psiKeys in front of the first packet without PSI, at most the last psiRun of them
	setsGroup  int      // the group whose parameter sets came first; -1: none did
	sets       []byte   // the rest of them

	runs     []packetRun
	injected int64
	mismatch string // "" as long as everything matches
}

// packetRun is a part of the reference that came in one piece.
type packetRun struct {
	from, to int  // packets of the reference
	midGOP   bool // it begins inside a group
}

// NewMatcher returns a matcher for the next connection.
func (r *Reference) NewMatcher() *Matcher { return &Matcher{reference: r, setsGroup: -1} }

// Write takes the next bytes of the connection, in pieces of any size. It does not keep them.
func (m *Matcher) Write(p []byte) {
	for len(p) > 0 && m.mismatch == "" {
		n := min(mpegts.PacketSize-len(m.partial), len(p))
		m.partial = append(m.partial, p[:n]...)
		p = p[n:]
		if len(m.partial) == mpegts.PacketSize {
			m.packet(m.partial)
			m.offset += mpegts.PacketSize
			m.partial = m.partial[:0]
		}
	}
}

// End does nothing: what is missing at the end of a connection depends on whether another one follows.
func (m *Matcher) End() {}

func (m *Matcher) packet(p mpegts.Packet) {
	isPSI := m.reference.isPSI(p)
	switch {
	case p[0] != mpegts.SyncByte:
		m.reportMismatch(p)
	case m.matched == 0 && m.takeSets(p):
	case m.reference.is(m.next, p):
		m.advance(p, isPSI)
	case m.skipEarlierPES(p, isPSI):
	case isPSI:
		if m.firstUnexpected == nil {
			m.firstUnexpected, m.firstUnexpectedAt = bytes.Clone(p), m.offset
		}
		m.injected++
		m.insertedPSI++
		m.sawPSI(p)
	case !p.HasPayload() && p.Discontinuity():
		m.injected++
	default:
		m.startGroup(p)
	}
}

// takeSets takes p as one of the packets with parameter sets at the beginning of the connection. The keyframe that
// needs them must follow.
func (m *Matcher) takeSets(p mpegts.Packet) bool {
	if m.setsGroup < 0 {
		if m.setsGroup = m.reference.findSets(p); m.setsGroup < 0 {
			return false
		}
		m.sets = m.reference.groups[m.setsGroup].sets
	}
	switch {
	case bytes.HasPrefix(m.sets, p):
		m.injected++
		m.sets = m.sets[mpegts.PacketSize:]
		return true
	case len(m.sets) == 0 && m.reference.is(m.reference.groups[m.setsGroup].access, p):
		return false
	}
	m.fail(p, fmt.Sprintf("the keyframe of group %d does not follow its parameter sets", m.setsGroup+1))
	return true
}

// advance takes the expected packet.
func (m *Matcher) advance(p mpegts.Packet, isPSI bool) {
	m.next++
	if isPSI {
		m.sawPSI(p)
		return
	}
	if len(m.runs) == 0 {
		m.startRun(0, false)
	}
	m.matched = m.next
	m.runs[len(m.runs)-1].to = m.matched
	m.pat, m.pmt, m.firstUnexpected, m.insertedPSI = false, false, nil, 0
	if m.afterGap && p.PayloadUnitStart() {
		m.resumed[p.PID()] = true
	}
}

func (m *Matcher) sawPSI(p mpegts.Packet) {
	if m.matched == 0 {
		m.leadingPSI = append(m.leadingPSI, psiKey(p))
		m.leadingPSI = m.leadingPSI[max(len(m.leadingPSI)-m.reference.psiRun, 0):]
	}
	pid := p.PID()
	m.pat, m.pmt = m.pat || pid == mpegts.PIDPAT, m.pmt || m.reference.pmtPIDs[pid]
}

func (m *Matcher) startRun(from int, midGOP bool) {
	m.afterGap, m.resumed = !midGOP, make(map[uint16]bool)
	m.runs = append(m.runs, packetRun{from: from, to: from, midGOP: midGOP})
}

// skipEarlierPES takes p if every packet before it in the reference continues a PES packet that began before this run.
func (m *Matcher) skipEarlierPES(p mpegts.Packet, isPSI bool) bool {
	for i := m.next; m.afterGap && i < m.reference.numPackets(); i++ {
		if i > m.next && m.reference.is(i, p) {
			m.next = i
			m.advance(p, isPSI)
			return true
		}
		if !m.continuesEarlierPES(m.reference.packet(i)) {
			break
		}
	}
	return false
}

// continuesEarlierPES reports whether the packet belongs to a PES packet that began before this run.
func (m *Matcher) continuesEarlierPES(p mpegts.Packet) bool {
	pid := p.PID()
	return m.afterGap && !p.PayloadUnitStart() && !m.resumed[pid] && m.reference.payload[pid] && !m.reference.isPSI(p)
}

// missing counts the packets of the current group that have not come.
func (m *Matcher) missing() (group, packets int) {
	if m.matched == 0 {
		return 0, 0
	}
	group = m.reference.groupOf(m.matched - 1)
	for i := m.matched; i < m.reference.groups[group].end; i++ {
		if p := m.reference.packet(i); !m.reference.isPSI(p) && !m.continuesEarlierPES(p) {
			packets++
		}
	}
	return group, packets
}

// startGroup takes p, which is not the expected packet, as the start of a group; a connection's first packet may be any
// packet of the reference.
func (m *Matcher) startGroup(p mpegts.Packet) {
	r := m.reference
	last, missing := m.missing()
	g := r.findGroup(p, last)
	if g < 0 {
		if i := r.find(p); i >= 0 && m.matched == 0 {
			m.startMidGOP(p, i)
		} else {
			m.reportMismatch(p)
		}
		return
	}
	pat, pmt := r.ownPSI(r.groups[g])
	switch {
	case m.matched == 0 && (pat && !m.pat || pmt && !m.pmt):
		m.startMidGOP(p, r.groups[g].access)
	case m.matched > 0 && r.is(m.matched-1, p):
		m.reportMismatch(p)
	case m.matched > 0 && g <= last:
		m.fail(p, fmt.Sprintf("group %d comes again inside the connection", g+1))
	case missing > 0:
		m.fail(p, fmt.Sprintf("group %d begins while %d packets of group %d are missing", g+1, missing, last+1))
	case pat && !m.pat:
		m.fail(p, fmt.Sprintf("group %d comes without its PAT", g+1))
	case pmt && !m.pmt:
		m.fail(p, fmt.Sprintf("group %d comes without its PMT", g+1))
	default:
		m.startRun(r.groups[g].first, false)
		m.next = r.groups[g].access
		m.injected -= int64(min(m.insertedPSI, m.next-r.groups[g].first)) // they were the group's own
		m.advance(p, false)
	}
}

// startMidGOP starts at packet i inside a group. Compare decides by the connection before whether that is allowed.
func (m *Matcher) startMidGOP(p mpegts.Packet, i int) {
	m.startRun(i, true)
	m.next = i
	m.advance(p, false)
}

// fail ends the matching because of p, or of the PSI in front of it that was not expected.
func (m *Matcher) fail(p mpegts.Packet, what string) {
	offset := m.offset
	if m.firstUnexpected != nil {
		p, offset = m.firstUnexpected, m.firstUnexpectedAt
	}
	m.mismatch = fmt.Sprintf("%s: %s", bytediff.Location(offset, p), what) + m.dump(p, offset, 0)
}

// dump shows the packet that came and the expected one around byte i of both.
func (m *Matcher) dump(p []byte, offset int64, i int) string {
	var expected []byte
	if m.next < m.reference.numPackets() {
		expected = m.reference.packet(m.next)
	}
	return bytediff.Dump(bytediff.Side{Bytes: expected, Offset: int64(m.next) * mpegts.PacketSize, Index: i},
		bytediff.Side{Bytes: p, Offset: offset, Index: i})
}

// reportMismatch ends the matching at a packet that is not allowed here, and says what it is.
func (m *Matcher) reportMismatch(p mpegts.Packet) {
	r := m.reference
	offset := m.offset
	if m.firstUnexpected != nil {
		p, offset = m.firstUnexpected, m.firstUnexpectedAt
	}
	source := func(i int) string { return bytediff.Location(int64(i)*mpegts.PacketSize, r.packet(i)) }
	switch {
	case m.next == r.numPackets():
		m.fail(p, "the connection goes on after the end of the source")
	case m.matched > 0 && r.is(m.next-1, p):
		m.fail(p, "a packet of the source, "+source(m.next-1)+", comes twice")
	case r.is(m.next+1, p):
		m.fail(p, "the packet in front of it, at the source's "+source(m.next)+", is missing")
	default:
		want, i := r.packet(m.next), 0
		for i < len(want)-1 && p[i] == want[i] {
			i++
		}
		m.mismatch = fmt.Sprintf("%s is not of the source, which has 0x%02x there, not 0x%02x",
			bytediff.Location(offset+int64(i), p), want[i], p[i]) + m.dump(p, offset, i)
	}
}
