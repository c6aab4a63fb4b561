package stream

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// TestLiveKeepsItsPromises: with live, at any pace, with any losses, what arrives on each connection decodes: it begins
// at a keyframe after PAT and PMT, has whole groups of pictures but for the last, announces each gap on each PID,
// resumes each PID at its next start, and the ledger knows where every byte is.
func TestLiveKeepsItsPromises(t *testing.T) { rapid.Check(t, liveKeepsItsPromises) }

// FuzzLive looks for the stream, the pace and the losses with which that does not hold.
func FuzzLive(f *testing.F) { f.Fuzz(rapid.MakeFuzz(liveKeepsItsPromises)) }

func liveKeepsItsPromises(t *rapid.T) {
	input := drawStream(t)
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	longest := rapid.IntRange(1, 20000).Draw(t, "longest")
	buffer := rapid.Int64Range(10_000, 200_000).Draw(t, "buffer")
	restarts := rapid.Bool().Draw(t, "restarts")
	o := QueueOptions{Live: true, Buffer: buffer, MaxAge: time.Hour, MaxDelivery: 4000}
	h := newHarness(t, inPieces(input, random, longest), o, ReaderOptions{Format: TS, MaxChunk: 4000})
	defer h.reader.Close()
	hunger := rapid.IntRange(1, 8).Draw(t, "hunger")
	for ended := false; !ended; h.balance() {
		switch step := random.IntN(12); {
		case step < 5 && !h.over:
			h.late = time.Duration(random.IntN(20)/19) * 2 * time.Hour
			h.put()
		case step < 5+hunger || h.over:
			ended = !h.take() && h.over
		case step == 11 && restarts:
			h.restart()
		default:
			h.queue.Confirm(h.last)
		}
	}
	h.queue.Confirm(h.last)
	c := h.balance()
	if c.In != int64(len(input)) || c.Held != 0 || c.Unconfirmed != 0 || c.Written != h.size {
		t.Fatalf("the ledger at the end: %+v", c)
	}
	total := 0
	announcements := 0
	check := connectionCheck{t: t, warned: h.warnings > 0}
	check.learn(input)
	for i, connection := range h.connections {
		total += len(connection)
		check.later = i > 0
		announcements += check.check(connection)
	}
	if int64(announcements) > c.Injected || int64(total) != c.Written+c.Injected {
		t.Fatalf("%d bytes of announcements and %d in all, the ledger says %+v", announcements, total, c)
	}
}

// connectionCheck checks what one connection got of a source.
type connectionCheck struct {
	t             rapid.TB
	later, warned bool

	places map[string]place // of the source's packets, which are all different
	gops   []int            // how many video packets each of its groups has

	counters           map[uint16]uint8
	announced, started map[uint16]bool
	inGOP              map[int]int // how many video packets of each group came
	last               int         // index of the last packet in the source
	firstGOP, lastGOP  int
	psi                mpegts.Mark
}

// place is where a packet is in the source.
type place struct{ index, gop int }

func (c *connectionCheck) learn(source []byte) {
	c.places = map[string]place{}
	scan := new(mpegts.Scanner)
	for i := 0; i < len(source); i += mpegts.PacketSize {
		p := mpegts.Packet(source[i : i+mpegts.PacketSize])
		if scan.Packet(p)&mpegts.RandomAccess != 0 {
			c.gops = append(c.gops, 0)
		}
		c.places[string(p)] = place{i, len(c.gops)}
		if p.PID() == tsgen.VideoPID && len(c.gops) > 0 {
			c.gops[len(c.gops)-1]++
		}
	}
}

// check returns how many bytes of announced gaps are in got. Injected tables look like the stream's own.
func (c *connectionCheck) check(got []byte) (announcements int) {
	c.counters, c.announced, c.started, c.inGOP = map[uint16]uint8{}, map[uint16]bool{}, map[uint16]bool{},
		map[int]int{}
	c.last, c.firstGOP, c.lastGOP, c.psi = -1, -1, -1, 0
	scan := new(mpegts.Scanner)
	for i := 0; i < len(got); i += mpegts.PacketSize {
		p := mpegts.Packet(got[i : i+mpegts.PacketSize])
		mark := scan.Packet(p)
		if !p.HasPayload() {
			if !p.Discontinuity() {
				c.t.Fatalf("packet %d: neither payload nor an announcement", i/mpegts.PacketSize)
			}
			announcements += mpegts.PacketSize
			c.counters[p.PID()], c.announced[p.PID()] = p.Continuity(), true
			continue
		}
		c.continuity(i/mpegts.PacketSize, p)
		c.psi |= mark
		if mark&mpegts.PSI == 0 {
			c.content(i/mpegts.PacketSize, p, mark)
		}
	}
	for gop, n := range c.inGOP {
		if gop != c.lastGOP && gop > 0 && n != c.gops[gop-1] && !c.warned {
			c.t.Fatalf("%d of %d packets of group %d", n, c.gops[gop-1], gop)
		}
	}
	return announcements
}

// continuity checks a packet's counter, and that its PID resumes at the start of a payload unit.
func (c *connectionCheck) continuity(n int, p mpegts.Packet) {
	pid := p.PID()
	if counter, ok := c.counters[pid]; ok && p.Continuity() != (counter+1)&0xF {
		c.t.Fatalf("packet %d: PID %#x: counter %d after %d", n, pid, p.Continuity(), counter)
	}
	c.counters[pid] = p.Continuity()
	if (c.announced[pid] || c.later && !c.started[pid]) && !p.PayloadUnitStart() {
		c.t.Fatalf("packet %d: PID %#x resumes in the middle", n, pid)
	}
	c.announced[pid], c.started[pid] = false, true
}

// content checks that the packets are the source's, in its order, and that a later connection begins with PAT, PMT and
// a keyframe.
func (c *connectionCheck) content(n int, p mpegts.Packet, mark mpegts.Mark) {
	if c.firstGOP < 0 && c.later && !c.warned {
		if mark&mpegts.RandomAccess == 0 {
			c.t.Fatalf("packet %d: a later connection does not begin with a keyframe", n)
		}
		if c.psi&(mpegts.PAT|mpegts.PMT) != mpegts.PAT|mpegts.PMT {
			c.t.Fatal("no PAT and PMT in front of the first keyframe")
		}
	}
	where, ok := c.places[string(p)]
	if !ok || where.index <= c.last {
		c.t.Fatalf("packet %d is not the source's, or not in its order", n)
	}
	c.last = where.index
	if c.firstGOP < 0 {
		c.firstGOP = where.gop
	}
	if p.PID() == tsgen.VideoPID {
		c.inGOP[where.gop]++
		c.lastGOP = where.gop
	}
}

// TestLiveDropsUnsynced: bytes that are no packets are dropped and counted, and leave the packets as they are.
func TestLiveDropsUnsynced(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 3}, 20)
	input := slices.Concat(ts, make([]byte, 77), ts, ts[:100])
	h := newHarness(t, bytes.NewReader(input), QueueOptions{Live: true, Buffer: 1 << 20}, ReaderOptions{})
	defer h.reader.Close()
	putAll(h)
	for h.take() {
	}
	c := h.balance()
	if want := (Dropped{Sync: 77, Torn: 100}); c.Dropped != want {
		t.Errorf("dropped %+v, want %+v", c.Dropped, want)
	}
	if !bytes.Equal(h.connections[0], slices.Concat(ts, ts)) {
		t.Error("the packets did not arrive as they were")
	}
}

// TestLiveReasons: the oldest whole groups go, for the reason that holds, and the group that was begun stays.
func TestLiveReasons(t *testing.T) {
	const gop = 42 * mpegts.PacketSize // 40 of pictures, 2 of tables
	g := tsgen.New(tsgen.Options{GOP: 4, KeyPackets: 10, FramePackets: 10})
	var frames pieces
	for range 40 {
		frames = append(frames, g.Frame(nil))
	}
	for _, test := range []struct {
		name           string
		buffer, maxAge int64
		steps          func(h *harness)
		want           Dropped
		warnings       int
	}{
		{name: "full", buffer: 3 * gop, steps: putAll, want: Dropped{Full: 7 * gop}},
		{name: "age", buffer: 100 * gop, maxAge: int64(time.Minute), steps: func(h *harness) {
			h.late = 2 * time.Minute
			for range 19 {
				h.put()
			}
			h.late = 0
			putAll(h)
			for h.take() {
			}
		}, want: Dropped{Age: 4 * gop}},
		{name: "lost and resync", buffer: 100 * gop, steps: func(h *harness) {
			h.put()
			h.take()
			h.restart()
			putAll(h)
			for h.take() {
			}
		}, want: Dropped{Lost: 22 * mpegts.PacketSize, Resync: 20 * mpegts.PacketSize}},
		{name: "a group longer than the buffer", buffer: gop / 2, steps: putAll, want: Dropped{Full: 39104,
			Resync: 35720}, warnings: 1},
		{name: "shutdown", buffer: 100 * gop, steps: func(h *harness) {
			h.put()
			h.queue.Abort(Shutdown)
			h.put()
			if h.take() {
				h.t.Fatalf("a delivery after the end")
			}
		}, want: Dropped{Lost: 12 * mpegts.PacketSize, Exit: 20 * mpegts.PacketSize}},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := slices.Clone(frames)
			h := newHarness(t, &src, QueueOptions{Live: true, Buffer: test.buffer, MaxAge: time.Duration(test.maxAge)},
				ReaderOptions{Format: TS})
			defer h.reader.Close()
			h.put()
			h.take() // the first group is begun
			test.steps(h)
			if c := h.balance(); c.Dropped != test.want || h.warnings != test.warnings || c.Held > test.buffer {
				t.Errorf("%+v, want %+v dropped; %d warnings", c, test.want, h.warnings)
			}
		})
	}
}

// TestLiveWithoutKeyframes: a stream in which no keyframe can be recognised goes on after a loss all the same.
func TestLiveWithoutKeyframes(t *testing.T) {
	input := tsgen.Frames(tsgen.Options{GOP: 1000, FramePackets: 10}, 100)
	h := newHarness(t, inPieces(input, rand.New(rand.NewPCG(1, 1)), 3000), QueueOptions{Live: true, Buffer: 20_000},
		ReaderOptions{Format: TS})
	defer h.reader.Close()
	h.put()
	h.take()
	h.restart()
	for !h.over {
		h.put()
		for h.take() {
		}
	}
	if len(h.connections[1]) == 0 || h.warnings == 0 {
		t.Errorf("%d bytes after the loss, %d warnings", len(h.connections[1]), h.warnings)
	}
	h.balance()
}

// TestFinishedKeepsGroupsWhole: while there is no connection, asking whether a live queue is finished does not prepare
// a part of a group, which would be delivered late and with a gap after it.
func TestFinishedKeepsGroupsWhole(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 10, FramePackets: 4}, 30)
	group := len(ts) / 6
	h := newHarness(t, bytes.NewReader(ts), QueueOptions{Live: true, Buffer: 1 << 20, MaxAge: time.Minute},
		ReaderOptions{MaxChunk: 10 * mpegts.PacketSize})
	h.put()
	h.take()
	h.restart()
	for range 2 {
		if h.queue.Finished() {
			t.Fatal("finished")
		}
	}
	h.queue.mu.Lock()
	waiting := h.queue.fifo.waiting()
	for i := range waiting[:len(waiting)/2] {
		waiting[i].ReceivedAt = time.Now().Add(-time.Hour)
	}
	h.queue.mu.Unlock()
	for h.take() {
	}
	got := h.connections[1]
	if len(got)%group != 0 || !bytes.HasSuffix(ts, got) || len(got) > len(ts)/2+group {
		t.Errorf("%d bytes came, in groups of %d", len(got), group)
	}
	h.balance()
}
