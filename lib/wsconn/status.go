package wsconn

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// StatusError says that the server answered the handshake with something other than 101. No secret of the request is
// in it, also when the server repeats one.
type StatusError struct {
	Code       int
	Status     string        // "401 Unauthorized"
	Location   string        // where a redirect (never followed) points, without userinfo and query; or ""
	RetryAfter time.Duration // 0 when the server gave none
	Body       string        // the start of the body: printable, 200 bytes at most
}

func (e *StatusError) Error() string {
	text := "the server answered " + e.Status
	if e.Location != "" {
		text += ", redirecting to " + e.Location
	}
	if e.Body != "" {
		text += fmt.Sprintf(": %q", e.Body)
	}
	return text
}

func newStatusError(u *url.URL, resp *http.Response, body string, s secrets) *StatusError {
	e := &StatusError{
		Code:       resp.StatusCode,
		Status:     excerpt(s.scrub(resp.Status)),
		RetryAfter: retryAfter(resp.Header),
		Body:       excerpt(s.scrub(body)),
	}
	if l := resp.Header.Get("Location"); l != "" {
		e.Location = "…"
		if to, err := u.Parse(l); err == nil {
			origin, path := shownParts(to.String())
			e.Location = excerpt(s.scrub(origin + path))
		}
	}
	return e
}

// retryAfter parses RFC 9110, 10.2.3: seconds, or a date, which counts from the date of the response, since the clock
// here may be wrong. What no duration can hold is the longest one.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	n, err := strconv.ParseUint(v, 10, 33)
	switch {
	case err == nil:
		return time.Duration(n) * time.Second
	case errors.Is(err, strconv.ErrRange):
		return math.MaxInt64
	}
	if t, err := http.ParseTime(v); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		return max(0, t.Sub(now))
	}
	return 0
}
