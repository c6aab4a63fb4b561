package testserver

import (
	"fmt"
	"os"
	"strings"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// subset is the expectation of ExpectSubset.
type subset struct {
	path   string
	source *source
}

// ExpectSubset expects the connections with the path ("": each path by itself) to carry the MPEG-TS of the file with
// nothing missing but whole groups of pictures, and nothing twice but where a connection begins. What a sender puts in
// for the decoder's sake is allowed: tables, and packets that announce a gap. A connection that another one with the
// same path follows may end anywhere; so may begin one that repeats what came, or goes on right behind it. Whether gaps
// are announced is for ExpectClean. The file is held in memory.
//
// The verdict's detail names the groups, from 1, that are missing, repeated or cut short, also when the expectation
// holds.
func ExpectSubset(path, name string) (Expectation, error) {
	var data []byte
	err := checkRegular(name)
	if err == nil {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("expected subset: %w", err)
	}
	s, err := newSource(data)
	if err != nil {
		return nil, fmt.Errorf("expected subset: %s: %w", name, err)
	}
	return &subset{path, s}, nil
}

func (e *subset) Name() string { return "subset" }
func (e *subset) Path() string { return e.path }

func (e *subset) Watch(path string) Observer {
	if e.path != "" && e.path != path {
		return nil
	}
	return newFollower(e.source)
}

func (e *subset) Judge(seen []Result) (ok bool, detail string) {
	if len(seen) == 0 {
		return (&each{path: e.path}).Judge(nil)
	}
	var paths []string
	byPath := map[string][]Result{}
	for _, s := range seen {
		if byPath[s.Path] == nil {
			paths = append(paths, s.Path)
		}
		byPath[s.Path] = append(byPath[s.Path], s)
	}
	var notes []string
	for _, path := range paths {
		c := coverage{source: e.source, times: make([]uint8, e.source.packets())}
		for i, s := range byPath[path] {
			if wrong := c.add(s.Watcher.(*follower), i == len(byPath[path])-1); wrong != "" {
				return false, fmt.Sprintf("connection %d (%s): %s", s.ID, path, wrong)
			}
		}
		if !c.came {
			return false, fmt.Sprintf("%s: no packet of the %d groups of pictures came", path, len(e.source.groups))
		}
		if note := c.note(); note != "" {
			notes = append(notes, path+": "+note)
		}
	}
	return true, strings.Join(notes, "; ")
}

// coverage is what the connections with one path brought of a source.
type coverage struct {
	source   *source
	times    []uint8 // how often each packet came, 2 for more
	furthest int     // the packet behind the last that came
	injected int64
	came     bool     // a packet that is no table
	lead     []string // the tables of the connections before that brought nothing else
}

// add adds the next connection, and says what is wrong with it.
func (c *coverage) add(f *follower, last bool) (wrong string) {
	if f.wrong != "" {
		return f.wrong
	}
	c.injected += f.injected
	lead := append(c.lead, f.lead...)
	for i, r := range f.runs {
		// A run begins with a packet that is no table: the tables in front of it may be what is new.
		if i == 0 && r.middle && c.source.tablesBefore(r.from, lead) > c.furthest {
			g := c.source.at(r.from)
			return fmt.Sprintf("begins in the middle of group %d, at the source's %s; what came before ends at packet %d", g+1,
				place(int64(r.from)*mpegts.PacketSize, c.source.packet(r.from)), c.furthest)
		}
		for p := r.from; p < r.to; p++ {
			c.times[p] = min(c.times[p]+1, 2)
		}
	}
	if len(f.runs) > 0 {
		c.came, lead = true, nil
		c.furthest = max(c.furthest, f.next)
	}
	c.lead = lead
	if !last {
		return ""
	}
	if g, n := f.missing(); n > 0 {
		return fmt.Sprintf("ends at byte %d in the middle of group %d: %d packets of it are missing", f.offset+int64(len(f.held)), g+1, n) +
			f.dump(f.held, f.offset, len(f.held))
	}
	if len(f.held) > 0 {
		return fmt.Sprintf("ends at byte %d inside a packet", f.offset+int64(len(f.held))) + f.dump(f.held, f.offset, len(f.held))
	}
	return ""
}

// note names the groups that did not come once and whole.
func (c *coverage) note() string {
	var missing, cut, repeated groupRanges
	var lost int64
	for n, g := range c.source.groups {
		all, none, twice := true, true, false
		for p := g.first; p < g.end; p++ {
			if c.source.isTable(c.source.packet(p)) {
				continue
			}
			all, none, twice = all && c.times[p] > 0, none && c.times[p] == 0, twice || c.times[p] > 1
			if c.times[p] == 0 {
				lost += mpegts.PacketSize
			}
		}
		switch {
		case none:
			missing.add(n + 1)
		case !all:
			cut.add(n + 1)
		}
		if twice {
			repeated.add(n + 1)
		}
	}
	var parts []string
	for _, r := range []struct {
		groupRanges
		what string
	}{{missing, "missing"}, {cut, "cut short at a reconnect"}, {repeated, "repeated at a reconnect"}} {
		if len(r.groupRanges) > 0 {
			parts = append(parts, fmt.Sprintf("groups %s: %s", r.groupRanges, r.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	parts = append(parts, fmt.Sprintf("%d bytes are missing, %d packets injected", lost, c.injected))
	return fmt.Sprintf("of %d groups of pictures, ", len(c.source.groups)) + strings.Join(parts, ", ")
}

// groupRanges are numbers in ascending order, those that follow each other together.
type groupRanges [][2]int

func (r *groupRanges) add(n int) {
	if last := len(*r) - 1; last >= 0 && (*r)[last][1] == n-1 {
		(*r)[last][1] = n
		return
	}
	*r = append(*r, [2]int{n, n})
}

func (r groupRanges) String() string {
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
