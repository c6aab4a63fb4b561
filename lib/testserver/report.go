package testserver

import (
	"net/http"
	"time"

	"github.com/timdrysdale/vw/lib/mpegts"
)

// Report is the verdict of a server.
type Report struct {
	// Started is what the times of Options.Arrivals count from.
	Started time.Time `json:"started"`
	// Passed: the server ended as planned, and every expectation holds.
	Passed bool `json:"passed"`
	// TimedOut: Options.Timeout passed before Options.Conns or Options.Bytes was reached.
	TimedOut bool `json:"timed_out,omitempty"`
	// Connections are all that were accepted, in that order.
	Connections  []Connection `json:"connections"`
	Expectations []Verdict    `json:"expectations"`
	// Refused counts the requests that became no connection, by status.
	Refused map[int]int `json:"refused,omitempty"`
	// Faults are those that happened, in that order.
	Faults []FaultEvent `json:"faults,omitempty"`
}

// Verdict is the result of one expectation.
type Verdict struct {
	Name string `json:"name"`
	// Path is that of the connections it was about; "" means all.
	Path string `json:"path,omitempty"`
	OK   bool   `json:"ok"`
	// Detail says, if it failed, what was expected and what came.
	Detail string `json:"detail"`
}

// Connected is a connection at its start.
type Connected struct {
	ID int `json:"id"` // from 1
	// Path is that of the request, percent-encoded as it came, without the query.
	Path    string    `json:"path"`
	Remote  string    `json:"remote"` // host:port
	Started time.Time `json:"started"`
}

// Connection is a connection at its end.
type Connection struct {
	Connected
	Ended time.Time `json:"ended"`
	// Messages counts whole binary messages, Text the text messages (at most one, as it ends the connection).
	Messages int64 `json:"messages"`
	Text     int64 `json:"text,omitempty"`
	// Bytes counts the payload of binary messages, whole or not; SHA256 is over the same bytes.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Torn is how many of the bytes belong to a message whose end never came.
	Torn  int64 `json:"torn,omitempty"`
	Close Close `json:"close"`
	// Intervals are the times from one message's last byte to the next one's.
	Intervals Intervals `json:"interarrival_us"`
	// Sizes are those of the messages, and BitRate that of all their bytes from the first message's end to the last
	// one's.
	Sizes   Sizes `json:"message_bytes"`
	BitRate int64 `json:"bits_per_second"`
	// Jitter is how much the time between the arrivals of two PCRs of a PID differs from the time between the PCRs. A
	// PCR arrives when the read of the socket does that completes its packet.
	Jitter Intervals `json:"pcr_jitter_us"`
	// TS leaves out a partial packet at the end if the server, or a fault, ended the connection.
	TS mpegts.Report `json:"ts"`
	// Streams are the PIDs that carried something, in ascending order.
	Streams []mpegts.StreamInfo `json:"streams,omitempty"`

	problems []string    // what is wrong with the MPEG-TS, and where
	header   http.Header // of the handshake
	latest   int64       // the message that came after the longest interval
}

// Close says how a connection ended: the code and reason of the peer's close frame. If there was none, those of the
// server's own (1001: the server ended, 1002: the peer violated the protocol, 1003: text, 1007: a reason that is not
// UTF-8, 1009: a message was too long). If there was none either, 1006.
type Close struct {
	Code   int    `json:"code"` // RFC 6455, 7.4
	Reason string `json:"reason"`
}

// Intervals are in µs; all are 0 if there were fewer than two messages (or PCRs). Max is exact, the others are
// within 1 %.
type Intervals struct {
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
	Max  int64 `json:"max"`
}

// Sizes are in bytes; Min and Max are exact, the others are within 1 %.
type Sizes struct {
	Min  int64 `json:"min"`
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
	Max  int64 `json:"max"`
}
