package testserver

import (
	"fmt"
	"time"
)

// Count is how many of something are expected: [Exactly] or [AtLeast] a number.
type Count struct {
	n       int64
	atLeast bool
}

// Exactly expects n, not more.
func Exactly(n int64) Count { return Count{n, false} }

// AtLeast expects n or more.
func AtLeast(n int64) Count { return Count{n, true} }

// String returns the number, for AtLeast as in "at least 3".
func (c Count) String() string {
	if c.atLeast {
		return fmt.Sprintf("at least %d", c.n)
	}
	return fmt.Sprint(c.n)
}

// mismatch says that got is not what is expected, and returns "" if it is. note follows the noun.
func (c Count) mismatch(got int64, noun, note string) string {
	if got == c.n || c.atLeast && got > c.n {
		return ""
	}
	return fmt.Sprintf("%d %s came%s, not %v", got, noun, note, c)
}

// expectCount expects a number that is in the report. count may add a note.
func expectCount(name, path string, want Count, count func(Result) (n int64, note string)) Expectation {
	return &each{name, path, observeNothing, func(r Result) string {
		n, note := count(r)
		return want.mismatch(n, name, note)
	}}
}

// ExpectBytes expects each connection with the path ("": any) to carry so many bytes.
func ExpectBytes(path string, n Count) Expectation {
	return expectCount("bytes", path, n, func(r Result) (int64, string) { return r.Bytes, "" })
}

// ExpectMessages expects each connection with the path ("": any) to carry so many whole binary messages.
func ExpectMessages(path string, n Count) Expectation {
	return expectCount("messages", path, n, func(r Result) (int64, string) {
		if r.Torn > 0 {
			return r.Messages, fmt.Sprintf(", and %d bytes of an incomplete one (after byte %d)", r.Torn,
				r.Bytes-r.Torn)
		}
		return r.Messages, ""
	})
}

// ExpectFrames expects each connection with the path ("": any) to carry so many frames (access units) of video.
func ExpectFrames(path string, n Count) Expectation {
	return expectCount("frames", path, n, func(r Result) (int64, string) { return r.TS.Frames, "" })
}

// ExpectMaxGap expects each connection with the path ("": any) to carry its messages without a pause longer than d from
// one to the next.
func ExpectMaxGap(path string, d time.Duration) Expectation {
	return &each{"max-gap", path, observeNothing, func(r Result) string {
		longest := time.Duration(r.Intervals.Max) * time.Microsecond
		if longest <= d {
			return ""
		}
		return fmt.Sprintf("message %d came %v after the one before, not within %v", r.latest, longest, d)
	}}
}

// connsExpectation is the expectation of ExpectConns. Unlike the others it can hold when no connection came.
type connsExpectation struct {
	path string
	n    Count
}

// ExpectConns expects so many connections with the path ("": any).
func ExpectConns(path string, n Count) Expectation { return &connsExpectation{path, n} }

func (c *connsExpectation) Name() string { return "conns" }
func (c *connsExpectation) Path() string { return c.path }

func (c *connsExpectation) Watch(path string) Observer {
	if c.path != "" && c.path != path {
		return nil
	}
	return noObserver{}
}

func (c *connsExpectation) Judge(results []Result) (ok bool, detail string) {
	noun := "connections"
	if c.path != "" {
		noun += " with the path " + c.path
	}
	detail = c.n.mismatch(int64(len(results)), noun, "")
	return detail == "", detail
}
