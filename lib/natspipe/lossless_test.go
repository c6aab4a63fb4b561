package natspipe

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

// testClient returns a client of the test's own.
func testClient(t *testing.T, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// TestNeverConfirmed: what no JetStream stream will ever confirm is an error at once, and not confirmed.
func TestNeverConfirmed(t *testing.T) {
	url := startServer(t, "")
	nc, js := testClient(t, url)
	answer := func(text string) func(*testing.T) {
		return func(t *testing.T) {
			sub, err := nc.Subscribe("cam", func(m *nats.Msg) { _ = m.Respond([]byte(text)) })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sub.Unsubscribe() })
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name, want string
		prepare    func(*testing.T)
	}{
		{"no stream, and another program answers", "no JetStream stream holds cam", answer(`{}`)},
		{"no stream, and another program answers in words", "no JetStream stream holds cam", answer(`thank you`)},
		{"a stream of another subject", `holds ["other" "cam.*" "a.>"], not cam`, func(t *testing.T) {
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAM",
				Subjects: []string{"other", "cam.*", "a.>"}})
			if err != nil {
				t.Fatal(err)
			}
		}},
		{"a stream that does not answer", "confirms nothing", func(t *testing.T) {
			_, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "CAM", Subjects: []string{"*"},
				NoAck: true})
			if err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.prepare(t)
			o := options(url)
			o.Create = false
			p, err := NewPublisher(o)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Run(context.Background(), context.Background(), strings.NewReader("ten bytes."))
			if c := p.account.Counts(); err == nil || !strings.Contains(err.Error(), test.want) || c.Confirmed > 0 {
				t.Errorf("%v, %+v", err, c)
			}
		})
	}
}

// TestStreamDeleted: a JetStream stream that is deleted while something is published is an error at once.
func TestStreamDeleted(t *testing.T) {
	url := startServer(t, "")
	_, js := testClient(t, url)
	o := options(url)
	o.Format = stream.Raw
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(context.Background(), context.Background(), r) }()
	if _, err := w.Write([]byte("ten bytes.")); err != nil {
		t.Fatal(err)
	}
	testwait.Eventually(t, "confirmed", func() bool { return p.account.Counts().Confirmed == 10 })
	if err := js.DeleteStream(t.Context(), "CAM"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("more bytes")); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "no JetStream stream holds cam") {
		t.Error(err)
	}
}
