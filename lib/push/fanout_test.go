package push

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// TestSetURLs changes the destinations 50 times while a stream flows. What each connection gets is a run of whole
// groups of pictures of the stream, the one that stays gets all, and none is closed but in order.
func TestSetURLs(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			stays, goes := newServer(t), newServer(t)
			o, _ := options(stays.url(), goes.url())
			o.Live, o.Format = live, stream.TS
			p, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			g := tsgen.New(tsgen.Options{GOP: 4, KeyPackets: 5, FramePackets: 3, Audio: true})
			var source []byte
			var pieces [][]byte
			random := rand.New(rand.NewPCG(1, 9))
			r, w := io.Pipe()
			for range 50 * 8 {
				frame := g.Frame(nil)
				source = append(source, frame...)
				cut := random.IntN(len(frame)) // packets are torn by reads
				pieces = append(pieces, frame[:cut], frame[cut:])
			}
			go func() {
				defer w.Close()
				for i, piece := range pieces {
					if _, err := w.Write(piece); err != nil {
						return
					}
					if i%16 != 15 {
						continue
					}
					urls := []string{stays.url(), goes.url()}
					if i%32 == 15 {
						urls = urls[:1]
					} else if i > 32 {
						// wait until the last change has come into effect, or there is nothing to see
						<-goes.arrived
					}
					if err := p.SetURLs(urls); err != nil {
						t.Error(err)
					}
				}
			}()
			if err := p.Run(context.Background(), soon(t), r); err != nil {
				t.Fatal(err)
			}
			if got := stays.all(); len(got) != 1 || !bytes.Equal(got[0], source) {
				t.Error("the destination that stays did not get everything")
			}
			goes.closedWith(0)
			for i, got := range goes.all() {
				at := bytes.Index(source, got)
				if at < 0 {
					t.Fatalf("connection %d: %d bytes that are no run of the stream", i, len(got))
				}
				if len(got) > 0 && !beginsGroup(got) {
					t.Errorf("connection %d begins in the middle of a group", i)
				}
				if end := source[at+len(got):]; len(end) > 0 && !beginsGroup(end) {
					t.Errorf("connection %d ends in the middle of a group", i)
				}
				if code := goes.closedWith(i); code != wsconn.StatusNormalClosure {
					t.Errorf("connection %d closed with %d", i, code)
				}
			}
			for _, c := range o.Ledger.Snapshot(true).Out {
				if !c.Balances() || c.Held != 0 || c.Unconfirmed != 0 || c.Dropped.Sum() != 0 || c.In != c.Confirmed {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

// TestChangeInALongGroup: no byte falls between one destination and the next, though Linger is over before the group of
// pictures is. A destination without a connection is dropped then, and the next one gets the rest of the group.
func TestChangeInALongGroup(t *testing.T) {
	t.Parallel()
	for _, test := range []longGroup{{false, true}, {false, false}, {true, true}, {true, false}} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			t.Parallel()
			test.change(t)
		})
	}
}

// longGroup says whether the destination that is replaced is dead, and whether it is alone.
type longGroup struct{ dead, alone bool }

func (test longGroup) change(t *testing.T) {
	from, to, stays := newServer(t), newServer(t), newServer(t)
	if test.dead {
		from.check = func(*http.Request) int { return http.StatusServiceUnavailable }
	}
	before, after := []string{from.url()}, []string{to.url()}
	if !test.alone {
		before, after = append(before, stays.url()), append(after, stays.url())
	}
	o, _ := options(before...)
	o.Format, o.Linger = stream.TS, 500*time.Millisecond // in which what was put must also arrive
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := tsgen.New(tsgen.Options{GOP: 40, KeyPackets: 5, FramePackets: 3})
	var whole []byte
	for range 45 {
		whole = g.Frame(whole)
	}
	const pause = 20*mpegts.PacketSize + 100 // in the first group
	r, w := io.Pipe()
	write := func(p []byte) {
		if _, err := w.Write(p); err != nil {
			t.Error(err)
		}
	}
	result := make(chan error)
	go func() { result <- p.Run(context.Background(), soon(t), r) }()
	write(whole[:pause])
	testwait.Eventually(t, "what was written is in the queue", func() bool {
		return o.Ledger.Snapshot(false).Out[0].In >= pause
	})
	if !test.dead {
		<-from.arrived
	}
	if err := p.SetURLs(after); err != nil {
		t.Fatal(err)
	}
	if test.dead {
		testwait.Eventually(t, "the dead destination is dropped", func() bool {
			return len(p.Stats()) <= len(after)
		})
	} else {
		time.Sleep(o.Linger * 6 / 5) // after which it must not have been dropped
	}
	write(whole[pause:]) // at once: one read has the end of a group and the beginning of the next
	w.Close()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	first, next := bytes.Join(from.all(), nil), bytes.Join(to.all(), nil)
	switch {
	case test.dead && !bytes.Equal(next, whole[20*mpegts.PacketSize:]):
		t.Errorf("%+v: %d bytes of the rest of %d arrived", test, len(next), len(whole))
	case !test.dead && (!beginsGroup(next) || !bytes.Equal(append(first, next...), whole)):
		t.Errorf("%+v: %d and %d bytes of %d arrived", test, len(first), len(next), len(whole))
	}
	if got := bytes.Join(stays.all(), nil); !test.alone && !bytes.Equal(got, whole) {
		t.Errorf("%+v: %d bytes of %d arrived at the one that stays", test, len(got), len(whole))
	}
	s := o.Ledger.Snapshot(true)
	gone, came := s.Out[0], s.Out[len(s.Out)-1]
	if gone.In+came.In != s.In.Bytes || gone.Dropped.Exit != gone.In-gone.Confirmed || !gone.Balances() ||
		!came.Balances() {
		t.Errorf("%+v: %+v", test, s)
	}
}

// TestChangeInSilence: one that is removed is closed in order also when nothing comes any more, and what comes later
// goes to the next one from its first byte, in the middle of a group and of a packet. One that stays does not notice.
func TestChangeInSilence(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{true, false} {
		t.Run(fmt.Sprint("alone ", alone), func(t *testing.T) {
			t.Parallel()
			changeInSilence(t, alone)
		})
	}
}

func changeInSilence(t *testing.T, alone bool) {
	from, to, stays := newServer(t), newServer(t), newServer(t)
	before, after := []string{from.url()}, []string{to.url()}
	if !alone {
		before, after = append(before, stays.url()), append(after, stays.url())
	}
	o, _ := options(before...)
	o.Format, o.Linger = stream.TS, 2*time.Second // also for the close handshake
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := tsgen.New(tsgen.Options{GOP: 40, KeyPackets: 5, FramePackets: 3})
	var whole []byte
	for range 50 {
		whole = g.Frame(whole)
	}
	r, w := io.Pipe()
	result := make(chan error)
	go func() { result <- p.Run(context.Background(), soon(t), r) }()
	write := func(p []byte) {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	const pause = 20*mpegts.PacketSize + 100
	write(whole[:pause])
	<-from.arrived
	testwait.Eventually(t, "the whole packets are confirmed", func() bool {
		return o.Ledger.Snapshot(false).Out[0].Confirmed >= 20*mpegts.PacketSize
	})
	if err := p.SetURLs(after); err != nil {
		t.Fatal(err)
	}
	if code := from.closedWith(0); code != wsconn.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	write(whole[pause : pause+10]) // no packet yet
	write(whole[pause+10:])
	w.Close()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	first, rest := bytes.Join(from.all(), nil), bytes.Join(to.all(), nil)
	if len(first) != 20*mpegts.PacketSize || !bytes.Equal(append(first, rest...), whole) {
		t.Errorf("alone %v: %d and %d bytes of %d arrived", alone, len(first), len(rest), len(whole))
	}
	if got := bytes.Join(stays.all(), nil); !alone && !bytes.Equal(got, whole) {
		t.Errorf("%d bytes of %d arrived at the one that stays", len(got), len(whole))
	}
	for _, c := range o.Ledger.Snapshot(true).Out {
		if !c.Balances() || c.In != c.Confirmed {
			t.Errorf("alone %v: %+v", alone, c)
		}
	}
}

// TestChangeWithoutKeyframes: without the start of a group the change happens all the same.
func TestChangeWithoutKeyframes(t *testing.T) {
	for _, live := range []bool{false, true} {
		from, to := newServer(t), newServer(t)
		o, l := options(from.url())
		o.Live, o.Format, o.Buffer = live, stream.TS, 64<<10
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		g := tsgen.New(tsgen.Options{GOP: 1 << 20, KeyPackets: 5, FramePackets: 10})
		r, w := io.Pipe()
		var whole []byte
		go func() {
			defer w.Close()
			for n := 0; len(whole) < 4<<16; n++ {
				frame := g.Frame(nil)
				if whole = append(whole, frame...); n == 5 {
					<-from.arrived
					if err := p.SetURLs([]string{to.url()}); err != nil {
						t.Error(err)
					}
				}
				if _, err := w.Write(frame); err != nil {
					return
				}
				if live { // or the queues would drop some of it
					testwait.Poll(func() bool {
						var held int64
						for _, c := range o.Ledger.Snapshot(false).Out {
							held += c.Held
						}
						return held < o.Buffer/2
					})
				}
			}
		}()
		if err := p.Run(context.Background(), soon(t), r); err != nil {
			t.Fatal(err)
		}
		got := append(bytes.Join(from.all(), nil), bytes.Join(to.all(), nil)...)
		if n := l.count("no keyframe for so long that the destinations changed without one"); n != 1 || !live &&
			!bytes.Equal(got, whole) {
			t.Errorf("live %v: %d of %d bytes arrived, %q", live, len(got), len(whole), l.lines)
		}
		if s := o.Ledger.Snapshot(true); s.Out[0].In+s.Out[1].In != s.In.Bytes || s.Out[1].Connects != 1 {
			t.Errorf("live %v: %+v", live, s)
		}
	}
}

// TestAddedBeginsWithTables: with live, also where the stream has its tables elsewhere than in front of keyframes.
func TestAddedBeginsWithTables(t *testing.T) {
	srv, added := newServer(t), newServer(t)
	o, _ := options(srv.url())
	o.Live, o.Format = true, stream.TS
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := tsgen.New(tsgen.Options{GOP: 10, KeyPackets: 5, FramePackets: 3, TablesEvery: 7})
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		for n := range 60 {
			if n == 15 {
				if err := p.SetURLs([]string{srv.url(), added.url()}); err != nil {
					t.Error(err)
				}
			}
			_, _ = w.Write(g.Frame(nil))
		}
	}()
	if err := p.Run(context.Background(), soon(t), r); err != nil {
		t.Fatal(err)
	}
	got := bytes.Join(added.all(), nil)
	if len(got) == 0 || mpegts.Packet(got).PID() != mpegts.PIDPAT || !beginsGroup(got) {
		t.Errorf("%d bytes, which do not begin with tables and a keyframe", len(got))
	}
}

// beginsGroup reports whether a stream begins with tables and a keyframe.
func beginsGroup(b []byte) bool {
	var scan mpegts.Scanner
	for ; len(b) >= mpegts.PacketSize; b = b[mpegts.PacketSize:] {
		if mark := scan.Packet(b[:mpegts.PacketSize]); mark&mpegts.PSI == 0 {
			return mark&mpegts.RandomAccess != 0
		}
	}
	return true
}

func TestSetURLsRefuses(t *testing.T) {
	srv := newServer(t)
	o, _ := options(srv.url())
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	done := make(chan error)
	go func() { done <- p.Run(context.Background(), soon(t), r) }()
	<-srv.arrived
	for _, urls := range [][]string{nil, {"http://x/"}, {srv.url(), "ws://"}, {srv.url(), srv.url()}} {
		if p.SetURLs(urls) == nil {
			t.Errorf("%q was taken", urls)
		}
	}
	if _, err := w.Write([]byte("as before")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := srv.all(); len(got) != 1 || string(got[0]) != "as before" {
		t.Errorf("%q", got)
	}
	if p.SetURLs([]string{srv.url()}) == nil {
		t.Error("it was taken after the end")
	}
}
