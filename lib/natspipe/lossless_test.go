package natspipe

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

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

// createStream creates a JetStream stream of one subject, anew if it exists.
func createStream(t *testing.T, js jetstream.JetStream, name, subject string) {
	t.Helper()
	_ = js.DeleteStream(t.Context(), name)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}})
	if err != nil {
		t.Fatal(err)
	}
}

// publish publishes text, in messages of ten bytes.
func publish(t *testing.T, url, text string) {
	t.Helper()
	o := options(url)
	o.Create, o.MaxMessage = false, 10
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Run(context.Background(), context.Background(), strings.NewReader(text))
	if c := p.account.Counts(); err != nil || c.Confirmed != int64(len(text)) {
		t.Fatalf("publish: %v, %+v", err, c)
	}
}

// testOutput is what a subscriber has written.
type testOutput struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *testOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func (o *testOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.String()
}

func (o *testOutput) SetWriteDeadline(time.Time) error { return nil }
func (o *testOutput) Gone() <-chan struct{}            { return nil }

// subscribe runs a subscriber until end, or an error. ended has what it returns.
func subscribe(t *testing.T, url string) (out *testOutput, end func(), ended chan error) {
	t.Helper()
	o := options(url)
	o.Durable = "d"
	s, err := NewSubscriber(o)
	if err != nil {
		t.Fatal(err)
	}
	soft, end := context.WithCancel(context.Background())
	out, ended = &testOutput{}, make(chan error, 1)
	go func() { ended <- s.Run(soft, context.Background(), out) }()
	return out, end, ended
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

// TestMappedSubject: a stream that has confirmed, and does not list the subject, may have it from a mapping of the
// account: that it does not answer for a while ends nothing.
func TestMappedSubject(t *testing.T) {
	o := options(startServer(t, ""))
	_, js := testClient(t, o.Servers[0])
	createStream(t, js, "CAM", "mapped")
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.connector.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, p.confirmed = range []bool{false, true} {
		if err := p.checkStream(&store{link: l}); (err == nil) != p.confirmed {
			t.Errorf("confirmed before: %v, and now %v", p.confirmed, err)
		}
	}
}

// publishAndDelete runs a publisher of ten bytes, deletes the JetStream stream when it has confirmed them, and writes
// ten more. It returns the publisher, what ends its input, and what has the result of its run.
func publishAndDelete(t *testing.T, o Options, js jetstream.JetStream) (*Publisher, io.Closer, chan error) {
	t.Helper()
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	r, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(context.Background(), context.Background(), r) }()
	write := func(text string) {
		if _, err := in.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("ten bytes.")
	testwait.Eventually(t, "confirmed", func() bool { return p.account.Counts().Confirmed == 10 })
	if err := js.DeleteStream(t.Context(), "CAM"); err != nil {
		t.Fatal(err)
	}
	write("more bytes")
	return p, in, ended
}

// TestStreamAway: a publisher that may not ask whether there is a stream goes on when that does not answer for a while.
func TestStreamAway(t *testing.T) {
	url := startServer(t, `accounts { A { jetstream: enabled, users: [ { user: admin, password: pw },
		{ user: camera, password: pw, permissions { publish: [ cam ], subscribe: [ "_INBOX.>" ] } } ] } }`)
	_, js := testClient(t, strings.Replace(url, "://", "://admin:pw@", 1))
	createStream(t, js, "CAM", "cam")
	o := options(strings.Replace(url, "://", "://camera:pw@", 1))
	o.Format, o.Create = stream.Raw, false
	p, w, ended := publishAndDelete(t, o, js)
	testwait.Eventually(t, "another connection", func() bool { return p.account.Counts().Connects > 1 })
	createStream(t, js, "CAM", "cam")
	_ = w.Close()
	if err := <-ended; err != nil || p.account.Counts().Confirmed != 20 {
		t.Errorf("%v, %+v", err, p.account.Counts())
	}
}

// TestStreamDeleted: a JetStream stream that is deleted while something is published is an error at once.
func TestStreamDeleted(t *testing.T) {
	url := startServer(t, "")
	_, js := testClient(t, url)
	o := options(url)
	o.Format = stream.Raw
	_, w, ended := publishAndDelete(t, o, js)
	_ = w.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "no JetStream stream holds cam") {
		t.Error(err)
	}
}

// TestAnotherStream: a JetStream stream that is created anew, and numbers its messages from 1 again, is read from its
// beginning, though as many messages were read before.
func TestAnotherStream(t *testing.T) {
	url := startServer(t, "")
	_, js := testClient(t, url)
	createStream(t, js, "CAM", "cam")
	out, end, ended := subscribe(t, url)
	first, second := strings.Repeat("first one.", 50), strings.Repeat("next one, ", 20)
	publish(t, url, first)
	testwait.Eventually(t, "the first stream", func() bool { return out.String() == first })
	createStream(t, js, "CAM", "cam")
	publish(t, url, second)
	testwait.Eventually(t, "the second stream", func() bool { return out.String() == first+second })
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestForeignConsumer: a consumer of the same name that would deliver something else is an error at once.
func TestForeignConsumer(t *testing.T) {
	url := startServer(t, "")
	_, js := testClient(t, url)
	createStream(t, js, "CAM", "cam")
	publish(t, url, "ten bytes.")
	type config = jetstream.ConsumerConfig
	for name, test := range map[string]struct {
		change func(*config)
		want   string
	}{
		"ours":           {func(c *config) { c.Description, c.MaxAckPending = "a camera", 500 }, ""},
		"without data":   {func(c *config) { c.HeadersOnly = true }, "is not one of vw-nats"},
		"each confirmed": {func(c *config) { c.AckPolicy = jetstream.AckExplicitPolicy }, "is not one"},
		"new ones":       {func(c *config) { c.DeliverPolicy = jetstream.DeliverNewPolicy }, "is not one"},
		"all subjects":   {func(c *config) { c.FilterSubject = "" }, "is not one"},
		"few at a time":  {func(c *config) { c.MaxRequestBatch = 5 }, "Exceeded MaxRequestBatch"},
	} {
		c := config{Durable: "d", FilterSubject: "cam", AckPolicy: jetstream.AckAllPolicy}
		test.change(&c)
		if _, err := js.CreateConsumer(t.Context(), "CAM", c); err != nil {
			t.Fatal(err)
		}
		out, end, ended := subscribe(t, url)
		if test.want == "" {
			testwait.Eventually(t, "the message", func() bool { return out.String() == "ten bytes." })
			end()
		}
		err := <-ended
		end()
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || out.String() != "") {
			t.Errorf("%s: %v, %q written", name, err, out)
		}
		if err := js.DeleteConsumer(t.Context(), "CAM", "d"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutAgain: a server that takes shorter messages than the one before gets what is not stored in shorter ones, and
// nothing twice but the first, which may have been stored: so each message is cut for itself.
func TestCutAgain(t *testing.T) {
	p, err := NewPublisher(options("nats://127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	if p.sent, err = p.messages(stream.Delivery{Data: data, Size: len(data), Kind: stream.Bytes}, 6000); err != nil {
		t.Fatal(err)
	}
	p.sent = p.sent[1:]
	p.sent[0].sent = true
	if err := p.cutAgain(1100); err != nil {
		t.Fatal(err)
	}
	at, begins := int64(6000), false
	for i, m := range p.sent {
		pos, err := parsePosition(m.msg)
		size := int64(len(m.msg.Data))
		if err != nil || pos.pos != at || size > 1100 || !bytes.Equal(m.msg.Data, data[at:at+size]) ||
			m.sent != (i == 0) || m.last != (i == len(p.sent)-1) {
			t.Errorf("message %d at %d: %+v, %v, %d bytes", i, at, pos, err, size)
		}
		begins = begins || at == 12000
		at += size
	}
	if at != int64(len(data)) || p.pos != at || !begins {
		t.Errorf("%d bytes, the next at %d; that one begins where one began before is %v", at, p.pos, begins)
	}
}
