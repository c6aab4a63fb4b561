package wsconn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	maxResponseHeader = 64 << 10 // bytes of a response that are read before it is given up
	maxResponseBody   = 1 << 10  // bytes of a refusal's body that are read
)

// upgrade is an http.RoundTripper for one request on a connection that is there. net/http's Transport would print to
// the log when the server speaks first, and leave goroutines behind that nobody can wait for. The dialer sets the
// connection's deadline when its context ends.
type upgrade struct {
	sock *socket
}

func (u upgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Write(u.sock); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: u.sock, N: maxResponseHeader}
	br := bufio.NewReader(limited)
	for {
		resp, err := http.ReadResponse(br, req)
		if limited.N == 0 && err != nil {
			return nil, fmt.Errorf("the response's header exceeds %d bytes", maxResponseHeader)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the server closed the connection instead of answering: %w", err)
		}
		if err != nil {
			return nil, err
		}
		if _, err := req.URL.Parse(resp.Header.Get("Location")); err != nil {
			resp.Header.Del("Location") // else http.Client's error is about that, and shows it
		}
		switch {
		case resp.StatusCode == http.StatusSwitchingProtocols:
			u.sock.begin(br)
			resp.Body = u.sock
		case resp.StatusCode < 200: // RFC 9110, 15.2: another one follows
			continue
		default:
			u.sock.SetReadDeadline(time.Now().Add(grace))
			body, _ := io.ReadAll(io.LimitReader(resp.Body, maxResponseBody))
			resp.Body = io.NopCloser(bytes.NewReader(body))
		}
		return resp, nil
	}
}
