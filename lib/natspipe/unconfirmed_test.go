package natspipe

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// TestUnconfirmed: what a live publisher has sent and no server has confirmed is sent again over the next connection.
// If it is too old for that, or too long, it is lost and counted, and what comes after it is sent.
func TestUnconfirmed(t *testing.T) {
	url := startServer(t, "max_payload: 8KB")
	for name, test := range map[string]struct {
		message int
		age     time.Duration
		lost    bool
	}{
		"sent again": {4 << 10, 0, false},
		"too long":   {64 << 10, 0, true},
		"too old":    {4 << 10, 2 * time.Hour, true},
	} {
		o := options(url)
		o.Live, o.Retain, o.Create, o.MaxAge, o.Format = true, "", false, time.Hour, stream.Raw
		p, err := NewPublisher(o)
		if err != nil {
			t.Fatal(err)
		}
		reader := stream.NewReader(strings.NewReader(strings.Repeat("ten bytes.", 2000)), stream.ReaderOptions{
			Format: stream.Raw, MaxChunk: o.MaxMessage,
		})
		defer reader.Close()
		if err := p.feed(t.Context(), reader); err != nil {
			t.Fatal(err)
		}
		d, err := p.queue.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.account.AddWritten(&d)
		p.unacked = len(d.Data)
		d.ReceivedAt = d.ReceivedAt.Add(-test.age)
		if p.sent, err = p.messages(d, test.message); err != nil {
			t.Fatal(err)
		}
		err = p.Run(context.Background(), context.Background(), strings.NewReader("and more"))
		c, lost := p.account.Counts(), int64(0)
		if test.lost {
			lost = int64(len(d.Data))
		}
		if err != nil || c.Dropped.Sum() != lost || c.Confirmed != c.In-lost || c.Confirmed < 8 {
			t.Errorf("%s: %v, %d lost, %+v", name, err, lost, c)
		}
	}
}
