package push

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/timdrysdale/vw/internal/testwait"
	"github.com/timdrysdale/vw/lib/stream"
)

// TestPutSendsAtOnce: on a connection that has confirmed something and is idle, what is put has been sent when put
// returns, unless a ping is due.
func TestPutSendsAtOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: it is Linux that can")
	}
	srv := newServer(t)
	o, _ := options(srv.url())
	d := newDestination(srv.url(), &o, false)
	done := make(chan error, 1)
	go func() { done <- d.run(soon(t)) }()
	blob := numbered(100_000)
	r := stream.NewReader(bytes.NewReader(bytes.Repeat(blob, 6)),
		stream.ReaderOptions{Format: stream.Raw, MaxChunk: 1000})
	defer r.Close()
	put := func() error {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.put(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if c := d.account.Counts(); c.Written != c.In {
			return fmt.Errorf("of %d bytes %d have been sent", c.In, c.Written)
		}
		return nil
	}
	_ = put() // before there is a connection
	testwait.AtBest(t, func() error {
		testwait.Eventually(t, "everything is confirmed, and the sender waits", func() bool {
			if c := d.account.Counts(); c.Confirmed != c.In || !d.turn.TryLock() {
				return false
			}
			defer d.turn.Unlock()
			return d.session != nil
		})
		return put()
	})
	d.queue.End()
	err := <-done
	c := d.account.Counts()
	if err != nil || !c.Balances() || c.Confirmed != c.In || c.Messages != int64(len(srv.connections[0].sizes)) {
		t.Fatalf("%v, %+v", err, c)
	}
}
