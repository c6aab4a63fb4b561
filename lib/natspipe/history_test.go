package natspipe

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/lib/stream"
)

// retaining is a live subscriber that is connected to a server, and a JetStream stream for its subject.
type retaining struct {
	*Subscriber
	t  *testing.T
	l  *link
	js jetstream.JetStream
}

func newRetaining(t *testing.T, config string) *retaining {
	t.Helper()
	o := options(startServer(t, config))
	o.Live = true
	s, err := NewSubscriber(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.connector.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.took = time.Hour // so answers may take long
	r := &retaining{Subscriber: s, t: t, l: l}
	if r.js, err = jetstream.New(l.nc); err == nil {
		_, err = r.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: o.Retain, Subjects: []string{o.Subject},
			Storage: jetstream.MemoryStorage, AllowRollup: true, AllowDirect: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.output = stream.NewOutput(s.queue, io.Discard)
	return r
}

// store has the stream retain a message.
func (r *retaining) store(p position, size int) {
	r.t.Helper()
	m := nats.NewMsg(r.o.Subject)
	m.Data = make([]byte, size)
	m.Header.Set(positionHeader, p.String())
	if p.start {
		m.Header.Set(rollupHeader, "sub")
	}
	if _, err := r.js.PublishMsg(context.Background(), m); err != nil {
		r.t.Fatal(err)
	}
}

// fills fills up to p, and expects the position that comes next, and so many gaps.
func (r *retaining) fills(p position, next int64, gaps int) {
	r.t.Helper()
	if err := r.fill(r.l, p); err != nil || r.follower.next != next || r.gaps != gaps {
		r.t.Errorf("up to %v: %v, %d comes next, want %d, after %d gaps, want %d", p, err, r.follower.next, next,
			r.gaps, gaps)
	}
}

// TestFillWhileReplaced: when another group of pictures replaces the one that is read, the rest of that is on its way,
// and must not be taken for lost. It is lost if something has come that was sent after it, which nobody can decode.
func TestFillWhileReplaced(t *testing.T) {
	t.Parallel()
	r := newRetaining(t, "")
	r.store(position{id: "a", start: true}, 10)
	r.store(position{id: "a", pos: 10}, 10)
	r.fills(position{start: true}, 20, 0)
	r.store(position{id: "a", pos: 40, start: true}, 10)
	r.store(position{id: "a", pos: 50}, 10)
	r.fills(position{start: true}, 20, 0)
	r.fills(position{id: "a", pos: 30}, 60, 1)
}

// TestFillInParts: a group of pictures that is longer than what the server sends at a time comes whole.
func TestFillInParts(t *testing.T) {
	t.Parallel()
	r := newRetaining(t, "max_pending: 4MB")
	const size, count = 100 << 10, 100
	for i := range int64(count) {
		r.store(position{id: "a", pos: i * size, start: i == 0}, size)
	}
	r.fills(position{start: true}, count*size, 0)
	// What is not stored yet is asked for again.
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		r.store(position{id: "a", pos: count * size}, size)
	}()
	r.fills(position{id: "a", pos: (count + 1) * size}, (count+1)*size, 0)
	<-stored
}

// warnings counts what a user is warned of.
type warnings struct {
	quietLog
	of map[string]int
}

func (w warnings) Warn(key, _ string, _ ...any) { w.of[key]++ }

// TestTwoPublishers: that two publishers are on a subject is said; that one follows another is not.
func TestTwoPublishers(t *testing.T) {
	t.Parallel()
	o := options("nats://127.0.0.1:1")
	log := warnings{of: map[string]int{}}
	o.Live, o.Log = true, log
	s, err := NewSubscriber(o)
	if err != nil {
		t.Fatal(err)
	}
	s.output = stream.NewOutput(s.queue, io.Discard)
	for i, id := range []string{"a", "b", "c", "b"} {
		m := nats.NewMsg(o.Subject)
		m.Data = []byte("bytes")
		if err := s.receive(m, position{id: id, pos: int64(i) * 5, start: true}); err != nil {
			t.Fatal(err)
		}
		if want := i / 3; log.of["publishers"] != want {
			t.Errorf("after %d streams: %d warnings, want %d", i+1, log.of["publishers"], want)
		}
	}
	s.endReader()
}
