package push

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/mpegts/tsgen"
	"github.com/timdrysdale/vw/lib/stream"
)

// TestSetURLs changes the destinations 50 times while a stream flows. What each connection gets is a run of whole groups
// of pictures of the stream, the one that stays gets all, and none is closed but in order.
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
				if code := goes.closedWith(i); code != closeNormal {
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

// beginsGroup reports whether a stream begins with tables and a keyframe.
func beginsGroup(b []byte) bool {
	var scan mpegts.Scanner
	for ; len(b) >= mpegts.PacketSize; b = b[mpegts.PacketSize:] {
		if mark := scan.Packet(b[:mpegts.PacketSize]); mark&mpegts.Table == 0 {
			return mark&mpegts.Access != 0
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
