package subset

import (
	"fmt"
	"strings"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/testserver/internal/bytediff"
)

// MismatchError says why a connection is not a subset of the reference.
type MismatchError struct {
	Connection int    // its index in the arguments of Compare
	Detail     string // a line; after it, indented, the bytes around the difference, if there is one
}

func (e *MismatchError) Error() string { return e.Detail }

// Compare judges the connections of one sender together, in the order in which they came. A connection after which
// another one follows may end anywhere. One that follows another may begin anywhere in what has come, or right after
// it.
//
// The summary names the groups that are missing, cut short or repeated, and is "" if each packet came exactly once. The
// error is a *MismatchError, or says that nothing of the reference came.
func (r *Reference) Compare(connections ...*Matcher) (summary string, err error) {
	c := coverage{reference: r, times: make([]uint8, r.numPackets())}
	for i, m := range connections {
		if wrong := c.add(m, i == len(connections)-1); wrong != "" {
			return "", &MismatchError{i, wrong}
		}
	}
	if !c.started {
		return "", fmt.Errorf("no packet of the %d groups of pictures came", len(r.groups))
	}
	return c.summary(), nil
}

// coverage is what the connections so far brought of the reference.
type coverage struct {
	reference  *Reference
	times      []uint8 // how often each packet came, 2 for more
	furthest   int     // the packet after the last that came
	injected   int64
	started    bool     // a packet without PSI came
	leadingPSI []string // of the connections before that brought nothing else
}

// add adds the next connection, and says what is wrong with it.
func (c *coverage) add(m *Matcher, last bool) (wrong string) {
	if m.mismatch != "" {
		return m.mismatch
	}
	c.injected += m.injected
	leading := append(c.leadingPSI, m.leadingPSI...)
	runs, shift := c.place(m)
	for i, r := range runs {
		// A run begins with a packet without PSI: the PSI in front of it may be what is new.
		if i == 0 && r.midGOP && c.reference.skipBack(r.from, leading) > c.furthest {
			at := bytediff.Location(int64(r.from)*mpegts.PacketSize, c.reference.packet(r.from))
			return fmt.Sprintf("begins in the middle of group %d, at the source's %s; "+
				"what came before ends at packet %d", c.reference.groupOf(r.from)+1, at, c.furthest)
		}
		for p := r.from; p < r.to; p++ {
			c.times[p] = min(c.times[p]+1, 2)
		}
	}
	if len(runs) > 0 {
		c.started, leading = true, nil
		c.furthest = max(c.furthest, m.next+shift)
	}
	c.leadingPSI = leading
	if !last {
		return ""
	}
	end := m.offset + int64(len(m.partial))
	if g, n := m.missing(); n > 0 {
		return fmt.Sprintf("ends at byte %d in the middle of group %d: %d packets of it are missing", end, g+1, n) +
			m.dump(m.partial, m.offset, len(m.partial))
	}
	if len(m.partial) > 0 {
		return fmt.Sprintf("ends at byte %d inside a packet", end) + m.dump(m.partial, m.offset, len(m.partial))
	}
	return ""
}

// place returns where the runs of a connection are in the reference, and how far the last one was moved. A matcher
// takes the first place that fits. A reference that repeats itself, as a file in a loop does, has several: a connection
// most likely goes on where the one before ended.
func (c *coverage) place(m *Matcher) (runs []packetRun, shift int) {
	expected, minimum := c.furthest, 0
	for _, r := range m.runs {
		start, ok := c.reference.nearest(expected, minimum, r.from, r.to)
		if !ok {
			return m.runs, 0
		}
		shift = start - r.from
		r.from, r.to = start, r.to+shift
		runs = append(runs, r)
		expected, minimum = r.to, r.to
	}
	return runs, shift
}

// summary names the groups that did not come once and whole.
func (c *coverage) summary() string {
	var missing, cut, repeated ranges
	var lost int64
	for n, g := range c.reference.groups {
		all, none, twice := true, true, false
		for p := g.first; p < g.end; p++ {
			if c.reference.isPSI(c.reference.packet(p)) {
				continue
			}
			all, none, twice = all && c.times[p] > 0, none && c.times[p] == 0, twice || c.times[p] > 1
			if c.times[p] == 0 {
				lost += mpegts.PacketSize
			}
		}
		switch {
		case none && !all:
			missing.add(n + 1)
		case !all:
			cut.add(n + 1)
		}
		if twice {
			repeated.add(n + 1)
		}
	}
	var parts []string
	for _, part := range []struct {
		groups ranges
		what   string
	}{{missing, "missing"}, {cut, "cut short at a reconnect"}, {repeated, "repeated at a reconnect"}} {
		if len(part.groups) > 0 {
			parts = append(parts, fmt.Sprintf("groups %s: %s", part.groups, part.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	parts = append(parts, fmt.Sprintf("%d bytes are missing, %d packets injected", lost, c.injected))
	return fmt.Sprintf("of %d groups of pictures, ", len(c.reference.groups)) + strings.Join(parts, ", ")
}

// ranges are ascending numbers, each run of consecutive ones as its first and last.
type ranges [][2]int

func (r *ranges) add(n int) {
	if last := len(*r) - 1; last >= 0 && (*r)[last][1] == n-1 {
		(*r)[last][1] = n
		return
	}
	*r = append(*r, [2]int{n, n})
}

func (r ranges) String() string {
	var parts []string
	for _, x := range r {
		if x[0] == x[1] {
			parts = append(parts, fmt.Sprint(x[0]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", x[0], x[1]))
		}
	}
	return strings.Join(parts, " ")
}
