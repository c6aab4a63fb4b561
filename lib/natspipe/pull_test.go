package natspipe

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestPull: all messages come, over many requests that end when they have brought so many messages or so many bytes. A
// consumer that is deleted has to begin again.
func TestPull(t *testing.T) {
	o := options(startServer(t, ""))
	c, err := newConnector(&o, o.DeadAfter)
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	js, err := jetstream.New(l.nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAM", Subjects: []string{"cam"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateConsumer(t.Context(), "CAM", jetstream.ConsumerConfig{Durable: "d",
		AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPull(l, "CAM", "d")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for size, count := range map[int]int{1: 3 * pullMessages, 500 << 10: 3 * pullBytes / (500 << 10)} {
		received := make(chan error, 1)
		go func() {
			for range count {
				m, err := p.next()
				for errors.Is(err, nats.ErrTimeout) { // the machine is busy
					p.asked = time.Time{}
					m, err = p.next()
				}
				if err != nil || len(m.Data) != size {
					received <- errors.Join(err, errors.New("not what was published"))
					return
				}
			}
			received <- nil
		}()
		for range count {
			if _, err := js.PublishAsync("cam", make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-received; err != nil {
			t.Fatalf("%d messages of %d bytes: %v", count, size, err)
		}
	}
	// 500 KiB are more than the first request was for, and came quickly. What comes slowly is not asked for more of.
	quick := p.bytes
	if quick < 4*firstPull {
		t.Errorf("%d bytes are asked for", quick)
	}
	p.asked = time.Now().Add(-time.Hour)
	if p.brought(); p.bytes != quick {
		t.Errorf("%d bytes are asked for, after %d were slow", p.bytes, quick)
	}
	if err := js.DeleteConsumer(context.Background(), "CAM", "d"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.next(); !errors.Is(err, errBeginAgain) {
		t.Errorf("of a deleted consumer: %v", err)
	}
}
