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
	psi := bytes.Clone(b[:3*size]) // SDT, PAT and PMT, as a sender inserts them
	for at := 0; at < len(psi); at += size {
		psi[at+3] ^= 0x0F
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
