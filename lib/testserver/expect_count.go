package testserver

import (
	"fmt"
	"time"
)

// counted is an expectation about a number that is in the report.
func counted(name, path, noun string, n int64, orMore bool, count func(Result) (int64, string)) Expectation {
	return &each{name, path, func() Observer { return unwatched{} }, func(s Result) string {
		got, more := count(s)
		return miscounted(noun, got, n, orMore, more)
	}}
}

func miscounted(noun string, got, want int64, orMore bool, more string) string {
	switch {
	case got == want, orMore && got > want:
		return ""
	case orMore:
		return fmt.Sprintf("%d %s came%s, not at least %d", got, noun, more, want)
	}
	return fmt.Sprintf("%d %s came%s, not %d", got, noun, more, want)
}

// ExpectBytes expects each connection with the path ("": any) to carry exactly n bytes, or with orMore at least n.
func ExpectBytes(path string, n int64, orMore bool) Expectation {
	return counted("bytes", path, "bytes", n, orMore, func(s Result) (int64, string) { return s.Bytes, "" })
}

// ExpectMessages expects each connection with the path ("": any) to carry exactly n whole binary messages, or with
// orMore at least n.
func ExpectMessages(path string, n int64, orMore bool) Expectation {
	return counted("messages", path, "messages", n, orMore, func(s Result) (int64, string) {
		if s.Torn > 0 {
			return s.Messages, fmt.Sprintf(", and %d bytes of one that has no end (behind byte %d)", s.Torn, s.Bytes-s.Torn)
		}
		return s.Messages, ""
	})
}

// ExpectFrames expects each connection with the path ("": any) to carry exactly n frames (access units) of video, or
// with orMore at least n.
func ExpectFrames(path string, n int64, orMore bool) Expectation {
	return counted("frames", path, "frames", n, orMore, func(s Result) (int64, string) { return s.TS.Frames, "" })
}

// ExpectMaxGap expects each connection with the path ("": any) to carry its messages without a pause longer than d from
// one to the next.
func ExpectMaxGap(path string, d time.Duration) Expectation {
	return &each{"max-gap", path, func() Observer { return unwatched{} }, func(s Result) string {
		longest := time.Duration(s.Intervals.Max) * time.Microsecond
		if longest <= d {
			return ""
		}
		return fmt.Sprintf("message %d came %v after the one before, not within %v", s.late, longest, d)
	}}
}
