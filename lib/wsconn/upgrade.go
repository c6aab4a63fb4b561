package wsconn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	maxResponseHeader = 64 << 10 // bytes of a response that are read before it is given up
	maxResponseBody   = 1 << 10  // bytes of a refusal's body that are read
)

// upgrade is an http.RoundTripper for one request on a connection that is there. net/http's Transport would print to
// the log when the server speaks first, and leave goroutines that cannot be waited for. The dialer sets the
// connection's deadline when its context ends.
type upgrade struct {
	conn net.Conn
	r    *bufio.Reader // has read the response
}

func (u *upgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Write(u.conn); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: u.conn, N: maxResponseHeader}
	u.r = bufio.NewReader(limited)
	for {
		resp, err := http.ReadResponse(u.r, req)
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
			if names := resp.Header["Sec-Websocket-Extensions"]; len(names) > 0 {
				return nil, fmt.Errorf("the server uses extensions that were not offered: %q",
					excerpt(strings.Join(names, ", ")))
			}
			resp.Body = handedOver{}
		case resp.StatusCode < 200: // RFC 9110, 15.2: another one follows
			continue
		default:
			u.conn.SetReadDeadline(time.Now().Add(grace))
			body, _ := io.ReadAll(io.LimitReader(resp.Body, maxResponseBody))
			resp.Body = io.NopCloser(bytes.NewReader(body))
		}
		return resp, nil
	}
}
