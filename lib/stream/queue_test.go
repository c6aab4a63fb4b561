package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
)

// bench is a queue between a source and a consumer that a test moves step by step.
type bench struct {
	t       rapid.TB
	reader  *Reader
	queue   *Queue
	account *Account
	ledger  *Ledger
	over    bool
	// late makes everything that is put this much older.
	late time.Duration
	// connections are the bytes that each connection got.
	connections [][]byte
	size        int64 // the stream's among them
	last        int64 // Pos of the last parcel
	warnings    int
}

func newBench(t rapid.TB, src io.Reader, o QueueOptions, ro ReaderOptions) *bench {
	b := &bench{t: t, ledger: NewLedger("test"), connections: [][]byte{nil}}
	b.account = b.ledger.Open("test")
	o.Account = b.account
	o.Warn = func(string, string) { b.warnings++ }
	b.queue = NewQueue(o)
	b.reader = NewReader(src, ro)
	return b
}

var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// put moves one read into the queue. The queue must have room.
func (b *bench) put() {
	batch, err := b.reader.Next()
	if err == io.EOF {
		b.queue.End()
		b.over = true
		return
	}
	if err != nil {
		b.t.Fatalf("read: %v", err)
	}
	for i := range batch.Chunks {
		batch.Chunks[i].ReceivedAt = batch.Chunks[i].ReceivedAt.Add(-b.late)
	}
	b.ledger.AddIn(batch.N)
	if err := b.queue.Put(canceled, batch); err != nil {
		b.t.Fatalf("put: %v", err)
	}
}

// take takes one parcel if there is one, and reports whether there was.
func (b *bench) take() bool {
	p, err := b.queue.Take(canceled)
	if err != nil {
		return false
	}
	n := len(b.connections) - 1
	b.connections[n] = append(b.connections[n], p.Data...)
	b.size += int64(p.Size)
	b.last = p.Pos
	b.account.AddWritten(&p)
	p.Release()
	return true
}

func (b *bench) restart() {
	b.queue.Requeue()
	b.connections = append(b.connections, nil)
}

func (b *bench) balance() Counts {
	c := b.account.Counts()
	if !c.Balances() {
		b.t.Fatalf("the ledger does not balance: %+v", c)
	}
	return c
}

// TestBlockDeliversAll: without live, bytes out are bytes in, whatever they are, at any pace, over any number of
// connections.
func TestBlockDeliversAll(t *testing.T) { rapid.Check(t, blockDeliversAll) }

// FuzzBlock looks for the input and the pace with which that does not hold.
func FuzzBlock(f *testing.F) { f.Fuzz(rapid.MakeFuzz(blockDeliversAll)) }

func blockDeliversAll(t *rapid.T) {
	input := drawStream(t)
	if rapid.Bool().Draw(t, "garbage") {
		at := rapid.IntRange(0, len(input)).Draw(t, "at")
		junk := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "junk")
		input = append(bytes.Clone(input[:at]), append(junk, input[at:]...)...)
	}
	retain := rapid.Bool().Draw(t, "retain")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	longest := rapid.IntRange(1, 20000).Draw(t, "longest")
	b := newBench(t, inPieces(input, random, longest), QueueOptions{Buffer: 1 << 30, AtLeastOnce: retain},
		ReaderOptions{Format: Format(rapid.IntRange(0, 2).Draw(t, "format")), MaxChunk: 4096})
	defer b.reader.Close()
	var confirmed, sent []byte // the stream up to the last confirmation, and what was sent since
	for {
		switch step := random.IntN(10); {
		case step < 4 && !b.over:
			b.put()
		case step < 7 || b.over && step < 9:
			n := len(b.connections) - 1
			before := len(b.connections[n])
			if b.take() {
				sent = append(sent, b.connections[n][before:]...)
			} else if b.over {
				goto done
			}
		case step < 9:
			b.queue.Confirm(b.last)
			confirmed, sent = append(confirmed, sent...), nil
		case retain:
			b.restart()
			sent = nil
		}
		b.balance()
	}
done:
	b.queue.Confirm(b.last)
	confirmed = append(confirmed, sent...)
	if !bytes.Equal(confirmed, input) {
		t.Fatalf("%d bytes out, %d in, or in another order", len(confirmed), len(input))
	}
	c := b.balance()
	if c.Confirmed != int64(len(input)) || c.In != b.ledger.Snapshot(true).In.Bytes {
		t.Fatalf("not all is confirmed: %+v", c)
	}
}

func drawStream(t *rapid.T) []byte {
	o := tsgen.Options{
		GOP:            rapid.IntRange(1, 8).Draw(t, "gop"),
		KeyPackets:     rapid.IntRange(1, 12).Draw(t, "key"),
		FramePackets:   rapid.IntRange(1, 4).Draw(t, "frame"),
		Audio:          rapid.Bool().Draw(t, "audio"),
		Interleave:     rapid.Bool().Draw(t, "interleave"),
		NoTables:       rapid.Bool().Draw(t, "no tables"),
		TablesEvery:    rapid.IntRange(0, 5).Draw(t, "tables every"),
		NoRandomAccess: rapid.Bool().Draw(t, "no flag"),
	}
	return tsgen.Frames(o, rapid.IntRange(1, 60).Draw(t, "frames"))
}

// TestLiveKeepsItsPromises: with live, at any pace, with any losses, what arrives on each connection decodes: it begins
// at a keyframe behind PAT and PMT, has whole groups of pictures but for the last, announces each gap on each PID,
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
	b := newBench(t, inPieces(input, random, longest), QueueOptions{Live: true, Buffer: buffer, MaxAge: time.Hour, MaxDelivery: 4000},
		ReaderOptions{Format: TS, MaxChunk: 4000})
	defer b.reader.Close()
	hunger := rapid.IntRange(1, 8).Draw(t, "hunger")
	for {
		switch step := random.IntN(12); {
		case step < 5 && !b.over:
			b.late = time.Duration(random.IntN(20)/19) * 2 * time.Hour
			b.put()
		case step < 5+hunger || b.over:
			if !b.take() && b.over {
				goto done
			}
		case step == 11 && restarts:
			b.restart()
		default:
			b.queue.Confirm(b.last)
		}
		b.balance()
	}
done:
	b.queue.Confirm(b.last)
	c := b.balance()
	if c.In != int64(len(input)) || c.Held != 0 || c.Unconfirmed != 0 || c.Written != b.size {
		t.Fatalf("the ledger at the end: %+v", c)
	}
	total := 0
	announcements := 0
	for i, connection := range b.connections {
		total += len(connection)
		announcements += checkConnection(t, input, connection, i > 0, b.warnings > 0)
	}
	if int64(announcements) > c.Injected || int64(total) != c.Written+c.Injected {
		t.Fatalf("%d bytes of announcements and %d in all, the ledger says %+v", announcements, total, c)
	}
}

// checkConnection checks what one connection got of a source, and returns how many bytes of announced gaps are in it.
// (Injected tables cannot be told from the stream's own.)
func checkConnection(t rapid.TB, source, got []byte, later, warned bool) (announcements int) {
	type place struct{ index, gop int }
	places := map[string]place{} // of the packets of the elementary streams, which are all different
	gops := []int{}              // how many video packets each has
	scan := new(mpegts.Scanner)
	for i := 0; i < len(source); i += mpegts.PacketSize {
		p := mpegts.Packet(source[i : i+mpegts.PacketSize])
		if scan.Packet(p)&mpegts.RandomAccess != 0 {
			gops = append(gops, 0)
		}
		places[string(p)] = place{i, len(gops)}
		if p.PID() == tsgen.VideoPID && len(gops) > 0 {
			gops[len(gops)-1]++
		}
	}
	counters := map[uint16]uint8{}
	announced := map[uint16]bool{}
	started := map[uint16]bool{}
	inGOP := map[int]int{}
	last, firstGOP, lastGOP := -1, -1, -1
	tablesSeen := mpegts.Mark(0)
	out := new(mpegts.Scanner)
	for i := 0; i < len(got); i += mpegts.PacketSize {
		p := mpegts.Packet(got[i : i+mpegts.PacketSize])
		pid := p.PID()
		mark := out.Packet(p)
		if !p.HasPayload() {
			if !p.Discontinuity() {
				t.Fatalf("packet %d: neither payload nor an announcement", i/mpegts.PacketSize)
			}
			announcements += mpegts.PacketSize
			counters[pid], announced[pid] = p.Continuity(), true
			continue
		}
		if counter, ok := counters[pid]; ok && p.Continuity() != (counter+1)&0xF {
			t.Fatalf("packet %d: PID %#x: counter %d after %d", i/mpegts.PacketSize, pid, p.Continuity(), counter)
		}
		counters[pid] = p.Continuity()
		if announced[pid] || later && !started[pid] {
			if !p.PayloadUnitStart() {
				t.Fatalf("packet %d: PID %#x resumes in the middle", i/mpegts.PacketSize, pid)
			}
		}
		announced[pid], started[pid] = false, true
		tablesSeen |= mark
		if mark&mpegts.PSI != 0 {
			continue
		}
		if firstGOP < 0 && later && mark&mpegts.RandomAccess == 0 && !warned {
			t.Fatalf("packet %d: a later connection does not begin with a keyframe", i/mpegts.PacketSize)
		}
		if firstGOP < 0 && later && !warned && tablesSeen&(mpegts.PAT|mpegts.PMT) != mpegts.PAT|mpegts.PMT {
			t.Fatal("no PAT and PMT in front of the first keyframe")
		}
		where, ok := places[string(p)]
		if !ok || where.index <= last {
			t.Fatalf("packet %d is not the source's, or not in its order", i/mpegts.PacketSize)
		}
		last = where.index
		if firstGOP < 0 {
			firstGOP = where.gop
		}
		if pid == tsgen.VideoPID {
			inGOP[where.gop]++
			lastGOP = where.gop
		}
	}
	for gop, n := range inGOP {
		if gop != lastGOP && gop > 0 && n != gops[gop-1] && !warned {
			t.Fatalf("%d of %d packets of group %d", n, gops[gop-1], gop)
		}
	}
	return announcements
}

func TestLiveDropsWhatIsNoPacket(t *testing.T) {
	ts := tsgen.Frames(tsgen.Options{GOP: 5, FramePackets: 3}, 20)
	input := append(append(append(bytes.Clone(ts), make([]byte, 77)...), ts...), ts[:100]...)
	b := newBench(t, bytes.NewReader(input), QueueOptions{Live: true, Buffer: 1 << 20}, ReaderOptions{})
	defer b.reader.Close()
	for !b.over {
		b.put()
	}
	for b.take() {
	}
	c := b.balance()
	if want := (Dropped{Sync: 77, Torn: 100}); c.Dropped != want {
		t.Errorf("dropped %+v, want %+v", c.Dropped, want)
	}
	if !bytes.Equal(b.connections[0], append(bytes.Clone(ts), ts...)) {
		t.Error("the packets did not arrive as they were")
	}
}

// TestLiveReasons: the oldest whole groups go, for the reason that holds, and the group that was begun stays.
func TestLiveReasons(t *testing.T) {
	o := tsgen.Options{GOP: 4, KeyPackets: 10, FramePackets: 10}
	gop := int64(42 * mpegts.PacketSize) // 40 of pictures, 2 of tables
	g := tsgen.New(o)
	var frames pieces
	for range 40 {
		frames = append(frames, g.Frame(nil))
	}
	t.Run("full", func(t *testing.T) {
		src := slices.Clone(frames)
		b := newBench(t, &src, QueueOptions{Live: true, Buffer: 3 * gop}, ReaderOptions{Format: TS})
		defer b.reader.Close()
		b.put()
		b.take() // the first group is begun
		for !b.over {
			b.put()
		}
		if c := b.balance(); c.Dropped != (Dropped{Full: 7 * gop}) || c.Held > 3*gop {
			t.Errorf("%+v", c)
		}
	})
	t.Run("age", func(t *testing.T) {
		src := slices.Clone(frames)
		b := newBench(t, &src, QueueOptions{Live: true, Buffer: 100 * gop, MaxAge: time.Minute}, ReaderOptions{Format: TS})
		defer b.reader.Close()
		b.put()
		b.take()
		b.late = 2 * time.Minute
		for range 19 {
			b.put()
		}
		b.late = 0
		for !b.over {
			b.put()
		}
		for b.take() {
		}
		if c := b.balance(); c.Dropped != (Dropped{Age: 4 * gop}) {
			t.Errorf("%+v", c)
		}
	})
	t.Run("lost and resync", func(t *testing.T) {
		src := slices.Clone(frames)
		b := newBench(t, &src, QueueOptions{Live: true, Buffer: 100 * gop}, ReaderOptions{Format: TS})
		defer b.reader.Close()
		b.put()
		b.put()
		b.take()
		b.take()
		b.restart()
		for !b.over {
			b.put()
		}
		for b.take() {
		}
		want := Dropped{Lost: 22 * mpegts.PacketSize, Resync: 20 * mpegts.PacketSize}
		if c := b.balance(); c.Dropped != want {
			t.Errorf("%+v, want %+v", c.Dropped, want)
		}
	})
	t.Run("a group longer than the buffer", func(t *testing.T) {
		src := slices.Clone(frames)
		b := newBench(t, &src, QueueOptions{Live: true, Buffer: gop / 2}, ReaderOptions{Format: TS})
		defer b.reader.Close()
		b.put()
		b.take()
		for !b.over {
			b.put()
		}
		if c := b.balance(); b.warnings != 1 || c.Dropped.Full == 0 {
			t.Errorf("%d warnings, %+v", b.warnings, c.Dropped)
		}
	})
	t.Run("exit", func(t *testing.T) {
		src := slices.Clone(frames)
		b := newBench(t, &src, QueueOptions{Live: true, Buffer: 100 * gop}, ReaderOptions{Format: TS})
		defer b.reader.Close()
		b.put()
		b.put()
		b.take()
		b.queue.Abort(Shutdown)
		b.put()
		// The second frame has joined the first, which waited.
		want := Dropped{Lost: 22 * mpegts.PacketSize, Exit: 10 * mpegts.PacketSize}
		if c := b.balance(); c.Dropped != want || c.Held != 0 {
			t.Errorf("%+v, want %+v", c, want)
		}
		if b.take() {
			t.Error("a parcel after the end")
		}
	})
}

// TestLiveWithoutKeyframes: a stream in which none can be recognised goes on after a loss, some time.
func TestLiveWithoutKeyframes(t *testing.T) {
	input := tsgen.Frames(tsgen.Options{GOP: 1000, FramePackets: 10}, 100)
	b := newBench(t, inPieces(input, rand.New(rand.NewPCG(1, 1)), 3000), QueueOptions{Live: true, Buffer: 20_000}, ReaderOptions{Format: TS})
	defer b.reader.Close()
	b.put()
	b.take()
	b.restart()
	for !b.over {
		b.put()
		for b.take() {
		}
	}
	if len(b.connections[1]) == 0 || b.warnings == 0 {
		t.Errorf("%d bytes after the loss, %d warnings", len(b.connections[1]), b.warnings)
	}
	b.balance()
}

func TestBlockWaits(t *testing.T) {
	src := pieces{make([]byte, 100), make([]byte, 100)}
	b := newBench(t, &src, QueueOptions{Buffer: 150}, ReaderOptions{Format: Raw})
	defer b.reader.Close()
	b.put()
	batch, err := b.reader.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.queue.Put(canceled, batch); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v: it did not wait", err)
	}
	done := make(chan error)
	go func() { done <- b.queue.Put(context.Background(), Batch{Chunks: batch.Chunks}) }()
	b.take()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := b.balance(); c.Held != 100 {
		t.Errorf("%+v", c)
	}
}

func TestWait(t *testing.T) {
	src := pieces{make([]byte, 100)}
	b := newBench(t, &src, QueueOptions{Buffer: 150}, ReaderOptions{Format: Raw})
	defer b.reader.Close()
	if err := b.queue.Flush(canceled); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.put()
	b.take()
	if err := b.queue.Flush(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: something is unconfirmed", err)
	}
	done := make(chan error)
	go func() { done <- b.queue.Flush(context.Background()) }()
	b.queue.Confirm(b.last)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestCopy has a reader and a consumer run at once.
func TestCopy(t *testing.T) {
	input := tsgen.Frames(tsgen.Options{GOP: 5, KeyPackets: 50, FramePackets: 20, Audio: true}, 500)
	ledger := NewLedger("test")
	q := NewQueue(QueueOptions{Buffer: 100_000, Account: ledger.Open("out")})
	r := NewReader(inPieces(input, rand.New(rand.NewPCG(5, 6)), 40_000), ReaderOptions{})
	defer r.Close()
	fed := make(chan error)
	go func() {
		for {
			batch, err := r.Next()
			if err != nil {
				q.End()
				fed <- err
				return
			}
			if err := q.Put(context.Background(), batch); err != nil {
				fed <- err
				return
			}
		}
	}()
	var out bytes.Buffer
	if err := Copy(context.Background(), q, &out); err != nil {
		t.Fatal(err)
	}
	if err := <-fed; err != io.EOF {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), input) {
		t.Error("what came out is not what went in")
	}
	if c := ledger.Snapshot(true).Out[0]; !c.Balances() || c.Confirmed != int64(len(input)) {
		t.Errorf("%+v", c)
	}
}

// BenchmarkFrame is the hot path: a frame is read, cut, put, taken and confirmed.
func BenchmarkFrame(b *testing.B) {
	for _, live := range []bool{false, true} {
		name := map[bool]string{false: "block", true: "live"}[live]
		b.Run(name, func(b *testing.B) {
			g := tsgen.New(tsgen.Options{GOP: 12, KeyPackets: 100, FramePackets: 30})
			src := new(loop)
			for range 12 {
				src.pieces = append(src.pieces, g.Frame(nil))
			}
			q := NewQueue(QueueOptions{Live: live, Buffer: 1 << 20, MaxAge: time.Second, Account: NewLedger("b").Open("b")})
			r := NewReader(src, ReaderOptions{Format: TS})
			b.ReportAllocs()
			for b.Loop() {
				batch, _ := r.Next()
				_ = q.Put(context.Background(), batch)
				for range batch.Chunks {
					p, _ := q.Take(context.Background())
					p.Release()
					q.Confirm(p.Pos)
				}
			}
		})
	}
}

// loop is an endless source.
type loop struct {
	pieces [][]byte
	next   int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.pieces[l.next%len(l.pieces)])
	l.next++
	return n, nil
}
