package natspipe

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/timdrysdale/vw/lib/stream"
)

// TestLookBack: what is missing is looked for ever farther back, and only after a time taken for lost.
func TestLookBack(t *testing.T) {
	s := Subscriber{passed: 1000}
	for i := range 100 {
		want := []uint64{pullMessages, 2 * pullMessages, 1000}[min(i, 2)]
		if err := s.lookBack(1); isFatal(err) || s.rewind != want {
			t.Errorf("%v, %d messages back, want %d", err, s.rewind, want)
		}
	}
	s.gapSince = time.Now().Add(-gapTimeout - time.Second)
	if err := s.lookBack(1); !isFatal(err) || Hint(err) == "" {
		t.Errorf("after %v: %v", gapTimeout, err)
	}
	if o := (&Subscriber{}); o.lookBack(1) == nil || o.rewind != pullMessages {
		t.Errorf("another gap: %d messages back", o.rewind)
	}
}

// TestMissingEnd: when another run begins and the consumer has left out numbers before it, they are looked for once:
// they may be the end of the run before, or of another subject.
func TestMissingEnd(t *testing.T) {
	s, err := NewSubscriber(options("nats://localhost"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.output = stream.NewOutput(s.queue, &out)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.output.Run(ctx) }()
	message := func(header, data string) *nats.Msg {
		m := nats.NewMsg("cam")
		m.Data = []byte(data)
		if header != "" {
			m.Header[positionHeader] = []string{header}
		}
		return m
	}
	for _, c := range []struct {
		seq          uint64
		header, data string
		again        bool
	}{
		{3, "one 0", "a", false}, // what is older is gone
		{4, "one 1", "b", false},
		{6, "two 0", "d", true},
		{3, "one 0", "a", false}, // from before the gap on
		{4, "one 1", "b", false},
		{5, "one 2", "c", false},
		{6, "two 0", "d", false},
		{9, "three 0", "e", true},
		{6, "two 0", "d", false},
		{9, "three 0", "e", false}, // nothing is between them
		{12, "", "f", true},
		{12, "", "f", false},
	} {
		err := s.pass(ctx, message(c.header, c.data), c.seq)
		if c.again != errors.Is(err, errBeginAgain) || isFatal(err) {
			t.Errorf("%d %s: %v", c.seq, c.header, err)
		}
	}
	cancel()
	<-ended
	if got := out.String(); got != "abcdef" {
		t.Errorf("%q is written", got)
	}
}
