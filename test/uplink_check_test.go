package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
)

func itoa(n int) string { return strconv.Itoa(n) }

// unionIs checks that what came over several connections, in their order, is the source: every byte, in order, with
// repeats only where a connection begins. It returns how many bytes were repeats.
func unionIs(t testing.TB, source []byte, pieces [][]byte) (repeated int) {
	t.Helper()
	pos := 0
	for i, p := range pieces {
		// A connection begins where the one before it had been confirmed to: at or before pos, on no special place. Its
		// beginning is the place in the source that is nearest.
		from, head := -1, p[:min(len(p), 4096)]
		for k := pos; k >= 0 && from < 0; k-- {
			if bytes.HasPrefix(source[k:], head) {
				from = k
			}
		}
		if from < 0 || !bytes.HasPrefix(source[from:], p) {
			t.Fatalf("connection %d of %d: its %d bytes do not go on from byte %d of the source or before", i,
				len(pieces), len(p), pos)
		}
		repeated += pos - max(from, 0)
		pos = max(pos, from+len(p))
	}
	if pos != len(source) {
		t.Fatalf("%d of %d bytes arrived", pos, len(source))
	}
	return repeated
}

// original is a source taken apart into packets, with the places where groups of pictures begin.
type original struct {
	packets [][]byte
	access  []bool // a keyframe begins
	group   []bool // a group begins: at its tables, if it has any, or anywhere up to the keyframe
}

func takeApart(ts []byte) *original {
	o := &original{}
	marks := new(mpegts.Scanner).AppendMarks(nil, ts)
	tables := 0 // how many of them stand right before
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		i := len(o.packets)
		mark := marks[i]
		o.packets = append(o.packets, ts[:mpegts.PacketSize])
		o.access = append(o.access, mark&mpegts.RandomAccess != 0)
		o.group = append(o.group, mark&mpegts.RandomAccess != 0)
		if mark&mpegts.PSI != 0 {
			tables++
			continue
		}
		if mark&mpegts.RandomAccess != 0 {
			for k := i - tables; k < i; k++ {
				o.group[k] = true
			}
		}
		tables = 0
	}
	return o
}

// injected is the place of a packet that is not the source's.
const injected = -1

// followed is a reader of pieces that are subsets of one source, each after the one before.
type followed struct {
	*original
	next int // nothing before this packet may come any more
}

// piece checks that what a connection brought is the source from next on, with gaps from one beginning of a group to
// another, that begin with tables and a keyframe, and are announced. It returns the place of each packet.
func (f *followed) piece(t testing.TB, name string, b []byte) (places []int, gaps int) {
	t.Helper()
	first := true
	announced := false
	var pending []int // packets of tables that may be the source's or not
	for i := 0; i+mpegts.PacketSize <= len(b); i += mpegts.PacketSize {
		p := mpegts.Packet(b[i : i+mpegts.PacketSize])
		at := len(places)
		places = append(places, injected)
		table := p.PID() < 0x20 || p.PID() == 0x1000
		// Behind an announcement a table proves nothing: after sixteen groups it looks as it did before the gap.
		if !first && !(announced && table) && len(pending) == 0 && f.next < len(f.packets) &&
			bytes.Equal(p, f.packets[f.next]) {
			places[at] = f.next
			f.next, announced = f.next+1, false
			continue
		}
		if !p.HasPayload() && p.Discontinuity() {
			announced = true
			continue
		}
		if table {
			pending = append(pending, at)
			continue
		}
		resumed := f.find(p)
		if resumed < 0 {
			t.Errorf("%s: packet %d (PID %#x) is not the source's, or comes too late", name, at, p.PID())
			return places, gaps
		}
		begun := resumed
		for k := len(pending) - 1; k >= 0 && begun > f.next; k-- {
			n := pending[k] * mpegts.PacketSize
			if bytes.Equal(b[n:n+mpegts.PacketSize], f.packets[begun-1]) {
				begun--
				places[pending[k]] = begun
			}
		}
		gap := begun > f.next
		switch {
		// tables after an announcement that came later than the gap, for a PID that had nothing to say
		case !first && !gap:
		case !f.access[resumed]:
			t.Errorf("%s: packet %d goes on at packet %d of the source, which is no keyframe (after %d)", name, at,
				resumed, f.next)
		case gap && !first && !f.group[f.next]:
			t.Errorf("%s: packet %d: the gap from packet %d of the source to %d begins inside a group of pictures",
				name, at, f.next, resumed)
		case gap && !first && !announced:
			t.Errorf("%s: packet %d: a gap that was not announced", name, at)
		case len(pending) < 2:
			t.Errorf("%s: packet %d: no tables in front of a keyframe that decoding starts at", name, at)
		}
		if gap && !first {
			gaps++
		}
		f.next, first, announced, pending = resumed+1, false, false, nil
		places[at] = resumed
	}
	return places, gaps
}

// find returns the place of a packet from next on.
func (f *followed) find(p mpegts.Packet) int {
	for i := f.next; i < len(f.packets); i++ {
		if bytes.Equal(p, f.packets[i]) {
			return i
		}
	}
	return -1
}

// clean checks a stream packet by packet: counters, tables, and that it begins with a keyframe.
func clean(t testing.TB, name string, b []byte) {
	t.Helper()
	c := mpegts.NewChecker()
	_, _ = c.Write(b[:len(b)/mpegts.PacketSize*mpegts.PacketSize])
	c.End()
	f := c.Report()
	if f.SyncErrors+f.ContinuityErrors+f.TableErrors+f.Duplicates > 0 || f.Keyframes > 0 && !f.StartsAtKeyframe {
		t.Errorf("%s is not clean: %+v %s", name, f, c.Problems())
	}
}

// checkKilled checks what arrived over many connections, and the account of it.
func checkKilled(t *testing.T, push *process, pieces [][]byte, source []byte, live bool) {
	t.Helper()
	if !live {
		push.expect(0)
		push.all(int64(len(source)))
		repeated := unionIs(t, source, pieces)
		c := push.account().Out[0]
		if c.Written != c.In+c.Resent || c.Injected != 0 || int64(repeated) > c.Resent || c.Resent == 0 {
			t.Errorf("%d bytes arrived more than once: %+v", repeated, c)
		}
		t.Logf("%d connections, %d bytes, %d of them resent, %d arrived again", c.Connects, c.In, c.Resent, repeated)
		return
	}
	push.expect(3)
	follow := followed{original: takeApart(source)}
	var arrived int64
	gaps, whole := 0, 0
	folder := t.TempDir()
	var decoding sync.WaitGroup
	turn := make(chan struct{}, 2)
	for i, p := range pieces {
		if len(p) < 188 {
			continue
		}
		name := filepath.Join(folder, fmt.Sprintf("%03d.ts", i))
		places, g := follow.piece(t, name, p)
		for _, place := range places {
			if place != injected {
				arrived += 188
			}
		}
		gaps += g
		if err := os.WriteFile(name, p, 0o644); err != nil {
			t.Fatal(err)
		}
		if accessUnits(p) < 2 {
			continue // the connection died within its first picture
		}
		startsWithKeyframe(t, name)
		clean(t, name, p)
		whole++
		turn <- struct{}{}
		decoding.Go(func() {
			defer func() { <-turn }()
			decodesWhole(t, name)
		})
	}
	decoding.Wait()
	s := push.account()
	c := s.Out[0]
	if s.In.Bytes != int64(len(source)) || arrived < c.Confirmed || arrived > c.Confirmed+c.Dropped.Lost {
		t.Errorf("%d bytes came in of %d; %d arrived: %+v", s.In.Bytes, len(source), arrived, c)
	}
	t.Logf("%d connections brought %d of %d bytes; %d decode, %d gaps inside; %+v", c.Connects, arrived, c.In, whole,
		gaps, c)
}

// accessUnits returns how many access units begin in b.
func accessUnits(b []byte) (n int) {
	for _, mark := range new(mpegts.Scanner).AppendMarks(nil, b) {
		n += mark.AccessUnits()
	}
	return n
}
