package testserver

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
)

const size = mpegts.PacketSize

// verdicts feeds connections with one path to expectations as a server does, and returns the details of the verdicts,
// "ok: " in front of those that hold.
func verdicts(expectations []Expectation, connections ...[]byte) []string {
	var details []string
	for _, e := range expectations {
		var results []Result
		for i, data := range connections {
			observer := e.Watch("/cam1")
			check := mpegts.NewChecker()
			for piece := range slices.Chunk(data, 1000) { // packets are torn across messages
				observer.Write(piece)
				check.Write(piece)
			}
			observer.End()
			check.End()
			c := Connection{Connected: Connected{ID: i + 1, Path: "/cam1"}, Bytes: int64(len(data)), SHA256: sum(data),
				TS: check.Report(), problems: check.Problems()}
			results = append(results, Result{c, observer})
		}
		ok, detail := e.Judge(results)
		if ok {
			detail = "ok: " + detail
		}
		details = append(details, detail)
	}
	return details
}

// layout says where things stand in a stream, in packets.
type layout struct {
	data   []byte
	first  []int // of each group of pictures: its first packet, PSI or the keyframe
	access []int // of each group of pictures: the keyframe's first packet
	psi    []bool
}

func layoutOf(data []byte) *layout {
	l := &layout{data: data}
	psiStart := 0
	for i, mark := range new(mpegts.Scanner).AppendMarks(nil, data) {
		l.psi = append(l.psi, mark&mpegts.PSI != 0)
		if mark&mpegts.RandomAccess != 0 {
			l.first, l.access = append(l.first, psiStart), append(l.access, i)
		}
		if !l.psi[i] {
			psiStart = i + 1
		}
	}
	return l
}

func (l *layout) packet(i int) mpegts.Packet { return l.data[i*size : (i+1)*size] }

// group returns where a group begins, in bytes; groups count from 0.
func (l *layout) group(g int) int { return l.first[g] * size }

// lost returns how many bytes a sender loses without the packets from one to the other: PSI is not lost.
func (l *layout) lost(from, to int) (n int) {
	for i := from; i < to; i++ {
		if !l.psi[i] {
			n += size
		}
	}
	return n
}

func without(b []byte, from, to int) []byte { return append(bytes.Clone(b[:from]), b[to:]...) }

func inserted(b []byte, at int, what []byte) []byte { return slices.Concat(b[:at], what, b[at:]) }

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// announced puts announcements of a gap in front of each PID's first packet of b.
func announced(b []byte) []byte {
	var out []byte
	seen := map[uint16]bool{}
	for data := range slices.Chunk(b, size) {
		p := mpegts.Packet(data)
		if !seen[p.PID()] {
			seen[p.PID()] = true
			out = mpegts.AppendDiscontinuity(out, p)
		}
		out = append(out, p...)
	}
	return out
}

// holds is what is wanted of an expectation that holds without a detail.
const holds = "ok: "

// mutation is a change of a good stream, and what the details of the expectations contain.
type mutation struct {
	name                        string
	connections                 [][]byte
	file, subset, clean, frames string
}

func mutations(b []byte) []mutation {
	l := layoutOf(b)
	// A video packet inside the second group, with another one after it.
	inner := l.access[1] + 2
	for l.packet(inner).PayloadUnitStart() || l.packet(inner+1).PID() != l.packet(inner).PID() ||
		l.packet(inner+1).PayloadUnitStart() {
		inner++
	}
	pat := l.first[1]
	for l.packet(pat).PID() != mpegts.PIDPAT {
		pat++
	}
	at, patAt, last := inner*size, pat*size, len(l.first)-1
	where := func(byte int) string { return fmt.Sprintf("byte %d (packet %d", byte, byte/size) }
	pid := fmt.Sprintf(", PID 0x%04x)", l.packet(inner).PID())
	packet := func(i int) string { return fmt.Sprintf("(packet %d", i) }
	// What the sender inserts does not count as missing.
	second, third := l.group(1), l.group(2)
	told := append(bytes.Clone(b[:second]), announced(b[third:])...)
	gone := fmt.Sprintf("%d bytes are missing, %d packets injected", l.lost(l.first[1], l.first[2]),
		(len(told)-len(b)+third-second)/size)
	tail := fmt.Sprintf("groups %d: missing, %d bytes", last+1, l.lost(l.first[last], len(b)/size))
	return []mutation{
		{"nothing", [][]byte{b}, holds, holds, holds, holds},
		{"a packet dropped", [][]byte{without(b, at, at+size)},
			packet(inner), where(at) + pid + ": the packet in front of it", where(at) + pid + ": counter", holds},
		{"a packet doubled", [][]byte{inserted(b, at, b[at:at+size])},
			packet(inner + 1), where(at+size) + pid + ": a packet of the source, " + where(at), holds, holds},
		{"two packets swapped", [][]byte{slices.Concat(b[:at], b[at+size:at+2*size], b[at:at+size], b[at+2*size:])},
			packet(inner), where(at) + pid + ": the packet in front", where(at) + pid + ": counter", holds},
		{"a bit flipped", [][]byte{flipped(b, at+100)},
			where(at+100) + pid + ": 0x", where(at+100) + pid + " is not of the source", holds, holds},
		{"a PAT removed", [][]byte{without(b, patAt, patAt+size)},
			"differs", where(patAt) + ", PID 0x1000): group 2 comes without its PAT", "PID 0x0000): counter", holds},
		{"a PMT removed", [][]byte{without(b, patAt+size, patAt+2*size)},
			"differs", ": group 2 comes without its PMT", "PID 0x1000): counter", holds},
		{"a PAT's CRC broken", [][]byte{flipped(b, patAt+5+12)},
			where(patAt + 17), where(patAt+17) + ", PID 0x0000) is not", where(patAt) + ", PID 0x0000): wrong CRC",
			holds},
		{"a group missing", [][]byte{without(b, second, third)},
			"differs", "ok: /cam1: of", where(second), "not "},
		{"a group missing, announced", [][]byte{told},
			"differs", "groups 2: missing, " + gone, holds, "not "},
		{"groups missing at the end", [][]byte{b[:l.group(last)]},
			"ends after", tail, holds, "not "},
		{"half a group missing", [][]byte{without(b, at, third)},
			"differs", "packets of group 2 are missing", "continuity", "not "},
		{"a group repeated", [][]byte{inserted(b, third, b[second:third])},
			"differs", "group 2 comes again inside the connection", "continuity", "not "},
		{"the end torn", [][]byte{b[:len(b)-1000]},
			fmt.Sprintf("ends after %d", len(b)-1000), fmt.Sprintf("ends at byte %d in the middle of group %d",
				len(b)-1000,
				last+1), "sync", ""},
		{"something after the end", [][]byte{append(bytes.Clone(b), b[at:at+size]...)},
			"goes on after", "goes on after the end of the source", "continuity", holds},
		{"nothing at all", [][]byte{nil}, "ends after 0", "no packet of the", "no PAT", "not "},
		{"no packets", [][]byte{append(bytes.Clone(b[:at]), make([]byte, 1000)...)},
			where(at), where(at) + ") is not of the source", "sync", ""},
		{"a reconnect that repeats", [][]byte{b[:third], b[second:]},
			"ends after", "groups 2: repeated at a reconnect", "", "not "},
		{"a reconnect at a group", [][]byte{b[:at+50], b[third:]},
			"ends after", "groups 2: cut short at a reconnect", "", "not "},
		{"a lossless reconnect", [][]byte{b[:at+50], b[at-2*size:]},
			"ends after", "groups 2: repeated at a reconnect, 0 bytes", "", "not "},
		{"a reconnect with a hole", [][]byte{b[:at+50], b[at+size:]},
			"ends after", "connection 2 (/cam1): begins in the middle of group 2", "", "not "},
		{"a reconnect after PSI", [][]byte{b[:at+50], b[l.access[1]*size:]},
			"ends after", "groups 2: repeated at a reconnect, 0 bytes", "", "not "},
		{"a start in mid-group", [][]byte{b[at:]},
			"differs", "begins in the middle of group 2", "does not start at a keyframe", ""},
	}
}

// TestMutations: each change of a good stream fails each expectation that is about it, with its place in the detail.
func TestMutations(t *testing.T) {
	for _, name := range []string{"mpeg1.ts", "h264.ts"} {
		b := sample(t, name)
		check := mpegts.NewChecker()
		check.Write(b)
		check.End()
		file := filepath.Join("../../test/testdata", name)
		expectFile, err := ExpectFile("", file)
		if err != nil {
			t.Fatal(err)
		}
		expectSum, err := ExpectSHA256("", sum(b))
		if err != nil {
			t.Fatal(err)
		}
		expectSubset, err := ExpectSubset("", file)
		if err != nil {
			t.Fatal(err)
		}
		expectations := []Expectation{expectFile, expectSubset, ExpectClean(""),
			ExpectFrames("", Exactly(check.Report().Frames)), expectSum}
		for _, m := range mutations(b) {
			t.Run(name+", "+m.name, func(t *testing.T) {
				got := verdicts(expectations, m.connections...)
				sha := "not " + sum(b)
				if m.file == holds {
					sha = holds
				}
				for i, want := range []string{m.file, m.subset, m.clean, m.frames, sha} {
					// A subset may lack groups and repeat them.
					ok := strings.HasPrefix(want, holds) || strings.HasPrefix(want, "groups")
					if !strings.Contains(got[i], want) || want == holds && got[i] != holds ||
						want != "" && strings.HasPrefix(got[i], holds) != ok {
						t.Errorf("%s: %q, want %q", expectations[i].Name(), got[i], want)
					}
				}
			})
		}
	}
}

// TestMismatchDump: a mismatch shows the bytes of both sides around the place.
func TestMismatchDump(t *testing.T) {
	b := sample(t, "mpeg1.ts")
	other := bytes.Clone(b)
	other[20000] ^= 0x80
	subset, err := ExpectSubset("", "../../test/testdata/mpeg1.ts")
	if err != nil {
		t.Fatal(err)
	}
	got := verdicts([]Expectation{subset}, other)[0]
	want := fmt.Sprintf("\n  expected 00004e18  % x >%02x< % x", b[19992:20000], b[20000], b[20001:20016]) +
		fmt.Sprintf("\n  came     00004e18  % x >%02x< % x", other[19992:20000], other[20000], other[20001:20016])
	if !strings.HasSuffix(got, want) {
		t.Errorf("got %s\nwant …%s", got, want)
	}
}
