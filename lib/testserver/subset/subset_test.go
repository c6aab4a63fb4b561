package subset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

const size = mpegts.PacketSize

func sample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../test/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newReference(t *testing.T, stream []byte) *Reference {
	t.Helper()
	r, err := NewReference(stream)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// compare returns the summary of the connections, "ok: " in front of it, or what is wrong.
func compare(r *Reference, connections ...[]byte) string {
	var all []*Matcher
	for _, data := range connections {
		m := r.NewMatcher()
		for piece := range slices.Chunk(data, 1000) { // packets are torn
			m.Write(piece)
		}
		m.End()
		all = append(all, m)
	}
	summary, err := r.Compare(all...)
	if err != nil {
		return err.Error()
	}
	return "ok: " + summary
}

func without(b []byte, from, to int) []byte { return append(bytes.Clone(b[:from]), b[to:]...) }

// TestReconnectAmongPSI: a connection may end anywhere among PSI and the next one go on there, but no packet is lost.
func TestReconnectAmongPSI(t *testing.T) {
	b := sample(t, "bframes.ts")
	r := newReference(t, b)
	var psi []byte // SDT, PAT and PMT, as a sender inserts them: with other counters and stuffing
	for p := range slices.Chunk(b[:3*size], size) {
		section := bytes.TrimRight(p[4:], "\xFF")
		stuffing := size - 5 - len(section)
		psi = append(psi, p[0], p[1], p[2], p[3]&0x0F^0x0F|0x30, byte(stuffing), 0)
		psi = append(psi, bytes.Repeat([]byte{0xFF}, stuffing-1)...)
		psi = append(psi, section...)
	}
	cuts := 0
	for i := 1; i < r.numPackets(); i++ {
		if !r.isPSI(r.packet(i)) && !r.isPSI(r.packet(i-1)) {
			continue
		}
		cuts++
		end, next := b[:i*size], b[i*size:]
		for name, connections := range map[string][][]byte{
			"lossless":               {end, next},
			"PSI inserted":           {end, slices.Concat(psi, next)},
			"a connection between":   {end, next[:size], next[size:]},
			"only PSI, between":      {end, psi, next},
			"inside the next packet": {b[:i*size+100], next},
		} {
			if got := compare(r, connections...); !strings.HasPrefix(got, "ok:") {
				t.Errorf("%s, at packet %d: %s", name, i, got)
			}
		}
		if r.groups[r.groupOf(i)].access >= i || i+1 == r.numPackets() {
			continue // a whole group may begin here, with PSI or without; or the stream ends
		}
		for name, connections := range map[string][][]byte{
			"the last packet missing": {b[:(i-1)*size], next},
			"the next packet missing": {end, next[size:]},
		} {
			if got := compare(r, connections...); !strings.Contains(got, "begins in the middle of group") {
				t.Errorf("%s, at packet %d: %s", name, i, got)
			}
		}
	}
	if cuts < 60 {
		t.Errorf("only %d places were tried", cuts)
	}
}

// TestClockPID: a PCR on a PID of its own, where no PES packet begins, must not be missing either.
func TestClockPID(t *testing.T) {
	var b []byte
	var clocks []int // where they stand
	for p := range slices.Chunk(tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3}, 20), size) {
		b = append(b, p...)
		if p := mpegts.Packet(p); p.PayloadUnitStart() && p.PID() == tsgen.VideoPID {
			clocks = append(clocks, len(b))
			clock := append([]byte{mpegts.SyncByte, 0x01, 0xFF, 0x20, size - 5, 0x10}, make([]byte, size-6)...)
			clock[9] = byte(len(clocks))
			b = append(b, clock...)
		}
	}
	r := newReference(t, b)
	first := func(g int) int { return r.groups[g].first * size }
	for name, c := range map[string]struct {
		stream []byte
		want   string
	}{
		"all":             {b, "ok:"},
		"a group missing": {without(b, first(1), first(2)), "ok:"},
		"one missing":     {without(b, clocks[7], clocks[7]+size), ": the packet in front of it"},
		"one missing after a gap": {without(without(b, clocks[12], clocks[12]+size), first(1), first(2)),
			": the packet in front of it"},
	} {
		if got := compare(r, c.stream); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestNullPacket: a null packet in front of a keyframe is not taken for its PMT.
func TestNullPacket(t *testing.T) {
	var b []byte
	var scan mpegts.Scanner
	for p := range slices.Chunk(tsgen.Frames(tsgen.Options{GOP: 5, NoTables: true}, 20), size) {
		if scan.Packet(p)&mpegts.RandomAccess != 0 {
			b = append(b, mpegts.SyncByte, mpegts.PIDNull>>8, mpegts.PIDNull&0xFF, 0x10)
			b = append(b, make([]byte, size-4)...)
		}
		b = append(b, p...)
	}
	r := newReference(t, b)
	first := func(g int) int { return r.groups[g].first * size }
	if got := compare(r, without(b, first(1), first(2))); !strings.HasPrefix(got, "ok: ") {
		t.Errorf("a group missing: %s", got)
	}
}

// TestNewReference: a stream that nothing can be a subset of is refused.
// TestPMTBeforePAT: tables alone, in front of the first group, are no group that may be missing.
func TestPMTBeforePAT(t *testing.T) {
	source := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 2}, 20)
	source = slices.Concat(source[size:2*size], source[:size], source[2*size:])
	r := newReference(t, source)
	m := r.NewMatcher()
	m.Write(source)
	m.End()
	if summary, err := r.Compare(m); summary != "" || err != nil {
		t.Errorf("%q, %v", summary, err)
	}
}

func TestNewReference(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	for name, stream := range map[string][]byte{
		"not a whole number of packets":      b[:1000],
		"not a whole number":                 nil,
		"no sync byte at byte 0 (packet 0)":  make([]byte, 2*size),
		"no packet is a random access point": b[20*size : 22*size],
	} {
		if _, err := NewReference(stream); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

// TestLoop: in a source that repeats itself, a connection goes on where the one before ended, not at the first place
// that looks alike.
func TestLoop(t *testing.T) {
	b := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 4, FramePackets: 3}, 20)
	loop := bytes.Repeat(b, 3)
	r := newReference(t, loop)
	group := func(g int) int { return r.groups[g].first * size } // 4 groups in each round
	middle := group(6) - 3*size
	for name, c := range map[string]struct {
		connections [][]byte
		want        string
	}{
		"whole":                       {[][]byte{loop}, "ok: "},
		"two lossless connections":    {[][]byte{loop[:middle], loop[middle:]}, "ok: "},
		"each round a connection":     {[][]byte{b, b, b}, "ok: "},
		"a group lost at a reconnect": {[][]byte{loop[:group(6)], loop[group(7):]}, "groups 7: missing"},
		"a group lost in a connection": {[][]byte{loop[:middle], without(loop[middle:], group(9)-middle,
			group(10)-middle)}, "groups 10: missing"},
		"a group repeated": {[][]byte{loop[:group(6)], loop[group(5):]}, "groups 6: repeated at a reconnect"},
		"a packet lost":    {[][]byte{loop[:middle], loop[middle+size:]}, "begins in the middle of group 6"},
	} {
		got := compare(r, c.connections...)
		if !strings.Contains(got, c.want) || c.want == "ok: " && got != c.want || strings.Contains(c.want, "missing") &&
			strings.Contains(got, "repeated") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestParameterSets: a connection may begin with the parameter sets that came before its keyframe. They are allowed
// nowhere else, and their keyframe must follow.
func TestParameterSets(t *testing.T) {
	b := sample(t, "h264.ts")
	for _, g := range newReference(t, b).groups[1:] {
		p := b[g.access*size : (g.access+1)*size]
		for _, set := range []string{"\x00\x00\x01\x67", "\x00\x00\x01\x68"} { // SPS and PPS become filler data
			at := bytes.Index(p, []byte(set))
			if at < 0 {
				t.Fatal("no parameter sets at the beginning of a keyframe")
			}
			p[at+3] = 0x6C
		}
	}
	r := newReference(t, b)
	second, third := r.groups[1], r.groups[2]
	if len(r.groups[0].sets) > 0 || len(third.sets) == 0 {
		t.Fatalf("%d bytes of parameter sets for the first group, %d for the third", len(r.groups[0].sets),
			len(third.sets))
	}
	start, psi, rest := b[:second.first*size], b[third.first*size:third.access*size], b[third.access*size:]
	injected := slices.Concat(psi, third.sets, rest)
	check := mpegts.NewChecker()
	check.Write(injected)
	if check.End(); !check.Report().StartsAtKeyframe {
		t.Error("a connection with injected parameter sets does not start at a keyframe")
	}
	for name, c := range map[string]struct {
		connections [][]byte
		want        string
	}{
		"first in a connection": {[][]byte{start, injected}, "ok: of"},
		"for another keyframe": {[][]byte{start, slices.Concat(psi, second.sets, rest)},
			"the keyframe of group 2 does not follow its parameter sets"},
		"twice": {[][]byte{start, slices.Concat(psi, third.sets, third.sets, rest)},
			"the keyframe of group 3 does not follow its parameter sets"},
		"inside a connection": {[][]byte{slices.Concat(start, injected)}, "is not of the source"},
	} {
		if got := compare(r, c.connections...); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
