package testserver

import (
	"bytes"
	"fmt"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// follower finds what one connection carries in a source. Tables may come anywhere, since a sender puts them in front
// where they are missing; so may packets that announce a gap. Where a group follows that is not the next one, PAT and
// PMT must stand in front of it if they do in the source, and the other streams may go on at their next PES packet.
type follower struct {
	source *source
	held   []byte // the start of a packet
	offset int64  // of the next packet, in the connection

	next     int             // the source's packet that is expected
	data     int             // the packet behind the last one that came and is no table; 0: none yet
	free     bool            // this run follows a gap: streams may go on later than it begins
	resumed  map[uint16]bool // those that have
	pat, pmt bool            // they have come since the last packet that is no table
	loose    []byte          // the first table since then that was not expected
	looseAt  int64
	tables   int // that have been taken for injected since then

	lead []string // the tables in front of the first packet that is none, as tableKey has them, or the last of them

	runs     []packetRun
	injected int64
	wrong    string // "" while all that came is of the source
}

// packetRun is a part of the source that came in one piece.
type packetRun struct {
	from, to int  // packets of the source
	middle   bool // it begins inside a group
}

func newFollower(s *source) *follower { return &follower{source: s} }

func (f *follower) Write(p []byte) {
	for len(p) > 0 && f.wrong == "" {
		n := min(mpegts.PacketSize-len(f.held), len(p))
		f.held = append(f.held, p[:n]...)
		p = p[n:]
		if len(f.held) == mpegts.PacketSize {
			f.packet(f.held)
			f.offset += mpegts.PacketSize
			f.held = f.held[:0]
		}
	}
}

func (f *follower) End() {}

func (f *follower) packet(p mpegts.Packet) {
	s := f.source
	isTable := s.isTable(p)
	switch {
	case p[0] != mpegts.SyncByte:
		f.foreign(p)
	case f.next < s.packets() && bytes.Equal(p, s.packet(f.next)):
		f.advance(p, isTable)
	case f.skipTorn(p, isTable):
	case isTable:
		if f.loose == nil {
			f.loose, f.looseAt = bytes.Clone(p), f.offset
		}
		f.injected++
		f.tables++
		f.sawTable(p)
	case !p.HasPayload() && p.Discontinuity():
		f.injected++
	default:
		f.jump(p)
	}
}

// advance takes the expected packet.
func (f *follower) advance(p mpegts.Packet, isTable bool) {
	f.next++
	if isTable {
		f.sawTable(p)
		return
	}
	if len(f.runs) == 0 {
		f.begin(0, false)
	}
	f.data = f.next
	f.runs[len(f.runs)-1].to = f.data
	f.pat, f.pmt, f.loose, f.tables = false, false, nil, 0
	if f.free && p.PayloadUnitStart() {
		f.resumed[p.PID()] = true
	}
}

func (f *follower) sawTable(p mpegts.Packet) {
	if f.data == 0 {
		f.lead = append(f.lead, tableKey(p))
		f.lead = f.lead[max(len(f.lead)-f.source.longest, 0):]
	}
	pat, pmt := tableOf(p.PID())
	f.pat, f.pmt = f.pat || pat, f.pmt || pmt
}

// begin starts a run at a packet of the source.
func (f *follower) begin(from int, middle bool) {
	f.free, f.resumed = !middle, make(map[uint16]bool)
	f.runs = append(f.runs, packetRun{from: from, to: from, middle: middle})
}

// skipTorn takes p if what stands before it in the source belongs to PES packets that began before this run.
func (f *follower) skipTorn(p mpegts.Packet, isTable bool) bool {
	for i := f.next; f.free && i < f.source.packets(); i++ {
		q := f.source.packet(i)
		if i > f.next && bytes.Equal(p, q) {
			f.next = i
			f.advance(p, isTable)
			return true
		}
		if !f.isTorn(q) {
			break
		}
	}
	return false
}

// isTorn reports whether the packet belongs to a PES packet that began before this run.
func (f *follower) isTorn(q mpegts.Packet) bool {
	pid := q.PID()
	return f.free && !q.PayloadUnitStart() && !f.resumed[pid] && f.source.payload[pid] && !f.source.isTable(q)
}

// missing counts the packets that have not come of the group that this connection is in.
func (f *follower) missing() (group, packets int) {
	if f.data == 0 {
		return 0, 0
	}
	group = f.source.at(f.data - 1)
	for i := f.data; i < f.source.groups[group].end; i++ {
		if q := f.source.packet(i); !f.source.isTable(q) && !f.isTorn(q) {
			packets++
		}
	}
	return group, packets
}

// jump takes p, which is not expected, as the start of a group or, as the first packet, any packet of the source.
func (f *follower) jump(p mpegts.Packet) {
	s := f.source
	last, missing := f.missing()
	g := s.findGroup(p, last)
	if g < 0 {
		if at := s.find(p); at >= 0 && f.data == 0 {
			f.beginMiddle(p, at)
		} else {
			f.foreign(p)
		}
		return
	}
	pat, pmt := s.ownTables(s.groups[g])
	switch {
	case f.data == 0 && (pat && !f.pat || pmt && !f.pmt):
		f.beginMiddle(p, s.groups[g].access)
	case f.data > 0 && bytes.Equal(p, s.packet(f.data-1)):
		f.foreign(p)
	case f.data > 0 && g <= last:
		f.fail(p, fmt.Sprintf("group %d comes again inside the connection", g+1))
	case missing > 0:
		f.fail(p, fmt.Sprintf("group %d begins while %d packets of group %d are missing", g+1, missing, last+1))
	case pat && !f.pat:
		f.fail(p, fmt.Sprintf("group %d comes without its PAT", g+1))
	case pmt && !f.pmt:
		f.fail(p, fmt.Sprintf("group %d comes without its PMT", g+1))
	default:
		f.begin(s.groups[g].first, false)
		f.next = s.groups[g].access
		f.injected -= int64(min(f.tables, f.next-s.groups[g].first)) // they were the group's own
		f.advance(p, false)
	}
}

// beginMiddle starts with p, a packet inside a group; whether that may be depends on the connection before.
func (f *follower) beginMiddle(p mpegts.Packet, at int) {
	f.begin(at, true)
	f.next = at
	f.advance(p, false)
}

// fail says what is wrong with p, or with the tables in front of it, and ends the following.
func (f *follower) fail(p mpegts.Packet, what string) {
	at := f.offset
	if f.loose != nil {
		p, at = f.loose, f.looseAt
	}
	f.wrong = fmt.Sprintf("%s: %s", place(at, p), what) + f.dump(p, at, 0)
}

// dump shows the packet that came and the one that was expected, around a byte of them.
func (f *follower) dump(p mpegts.Packet, at int64, i int) string {
	var expected []byte
	if f.next < f.source.packets() {
		expected = f.source.packet(f.next)
	}
	return dump(expected, i, int64(f.next)*mpegts.PacketSize, p, i, at)
}

// foreign ends the following at a packet that cannot come here, and says what it is.
func (f *follower) foreign(p mpegts.Packet) {
	s := f.source
	if f.loose != nil {
		p = f.loose
	}
	is := func(i int) bool { return i >= 0 && i < s.packets() && bytes.Equal(p, s.packet(i)) }
	origin := func(i int) string { return "of the source, " + place(int64(i)*mpegts.PacketSize, s.packet(i)) + "," }
	switch {
	case f.next == s.packets():
		f.fail(p, "goes on behind the end of the source")
	case f.data > 0 && is(f.next-1):
		f.fail(p, "a packet "+origin(f.next-1)+" comes twice")
	case is(f.next + 1):
		f.fail(p, "the packet in front of it "+origin(f.next)+" is missing")
	default:
		want, i := s.packet(f.next), 0
		for i < len(want)-1 && p[i] == want[i] {
			i++
		}
		at := f.offset
		if f.loose != nil {
			at = f.looseAt
		}
		f.wrong = fmt.Sprintf("%s is not of the source, where 0x%02x follows instead of 0x%02x", place(at+int64(i), p), want[i],
			p[i]) + f.dump(p, at, i)
	}
}
