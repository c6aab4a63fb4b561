package ingest

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// relay is a websocket server whose connections are driven by a test: nil is a refused one.
func relay(t *testing.T) (*Source, <-chan *wsconn.Conn) {
	t.Helper()
	conns := make(chan *wsconn.Conn)
	refused := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !refused {
			refused = true
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(conn.CloseNow)
		select {
		case conns <- conn:
		case <-time.After(testTimeout):
			t.Error("a connection that nobody expected")
		}
	}))
	t.Cleanup(server.Close)
	return &Source{
		Name: "the relay", Pause: time.Millisecond, MaxPause: time.Millisecond,
		Dial: func(ctx context.Context, _ bool) (*wsconn.Conn, error) {
			return wsconn.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http"), wsconn.DialOptions{})
		},
	}, conns
}

// A source is dialled until it is there, and again when it has gone; the streams are spliced between packets.
func TestPull(t *testing.T) {
	t.Parallel()
	source, conns := relay(t)
	r := start(t, Options{Pull: source})
	body := ts(50, 1)
	dying := <-conns
	r.expectLog("503")
	r.message(dying, body[:1000])
	r.out.await(t, 5*mpegts.PacketSize)
	dying.CloseNow()
	ending := <-conns
	r.message(ending, body)
	r.closeWebsocket(ending)
	idle := <-conns
	r.awaitPublisher()
	r.soft(nil)
	r.expectClose(idle, 1001)
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.expectOut(append(bytes.Clone(body[:5*mpegts.PacketSize]), body...))
	if d := r.counts().Dropped; d != (stream.Dropped{Torn: 1000 - 5*mpegts.PacketSize}) {
		t.Errorf("dropped %+v", d)
	}
	r.expectLog("publisher died")
	r.expectLog("publisher ended")
}

func TestPullOnce(t *testing.T) {
	t.Parallel()
	source, conns := relay(t)
	r := start(t, Options{Pull: source, Once: true})
	conn := <-conns
	r.message(conn, []byte("hello"))
	r.closeWebsocket(conn)
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.expectOut([]byte("hello"))
}

// A dial that hangs does not keep the server from ending.
func TestPullStopsWhileDialling(t *testing.T) {
	t.Parallel()
	dialling := make(chan struct{})
	r := start(t, Options{Pull: &Source{Name: "nowhere", Pause: time.Hour, MaxPause: time.Hour,
		Dial: func(ctx context.Context, _ bool) (*wsconn.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}}})
	<-dialling
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
