package vwingest

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/timdrysdale/vw/lib/wsconn"
)

// What a websocket server sends is written to stdout; it is shown the token, and no log is.
func TestPull(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/cam1" || r.Header.Get("Authorization") != "Bearer s3cret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		if err := conn.Write(context.Background(), want); err != nil {
			t.Error(err)
		}
		if err := conn.Close(context.Background(), 1000, ""); err != nil {
			t.Error(err)
		}
	}))
	defer relay.Close()
	cmd := tool(t, []string{tokenVariable + "=s3cret"}, "--pull", "ws"+strings.TrimPrefix(relay.URL, "http")+
		"/cam1?key=s3cret", "--once")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if got := status(t, cmd.Run()); got != 0 || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("exit status %d, %d bytes; log:\n%s", got, out.Len(), log.String())
	}
	if !strings.Contains(log.String(), "msg=pulling") || strings.Contains(log.String(), "s3cret") {
		t.Errorf("log:\n%s", log.String())
	}
}

// From its second connection on it asks for the next keyframe, and leaves the rest of the URL as it is.
func TestPullAgainStartsAtTheNextKeyframe(t *testing.T) {
	asked := make(chan string, 3)
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String()
		conn, err := wsconn.Accept(w, r, wsconn.AcceptOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		conn.CloseNow()
	}))
	defer relay.Close()
	cmd := tool(t, nil, "--pull", "ws"+strings.TrimPrefix(relay.URL, "http")+"/a%2Fb?key=x")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/a%2Fb?key=x", "/a%2Fb?key=x&start=next", "/a%2Fb?key=x&start=next"} {
		if got := <-asked; got != want {
			t.Errorf("asked for %s, not %s", got, want)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
