package ingest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
)

// Policy decides what happens when a second publisher comes.
type Policy int

const (
	// One refuses the second with 409.
	One Policy = iota
	// Takeover stops the first.
	Takeover
)

var policyNames = [...]string{One: "one", Takeover: "takeover"}

// ParsePolicy parses a value of --publishers.
func ParsePolicy(s string) (Policy, error) {
	for p, name := range policyNames {
		if s == name {
			return Policy(p), nil
		}
	}
	return One, fmt.Errorf("unknown policy %q (one or takeover)", s)
}

// Output takes the stream.
type Output interface {
	io.Writer
	// SetWriteDeadline ends a Write that blocks.
	SetWriteDeadline(time.Time) error
	// Gone is closed when the reader has gone.
	Gone() <-chan struct{}
}

// ErrOutputGone: the reader of the output has gone.
var ErrOutputGone = errors.New("the reader of the output has gone")

// Options configure a Server. Output, Ledger and Log are required, and one of Listeners and Pull; with
// Listeners, Refusals too.
type Options struct {
	// Listeners accept the publishers. Run closes them.
	Listeners []net.Listener
	// TLS, if not nil, is what they speak.
	TLS *tls.Config
	// Pull is the server to dial instead.
	Pull   *Source
	Output Output
	// Ledger counts what publishers sent, and in its entry "stdout" what became of it.
	Ledger *stream.Ledger

	// Tokens are what publishers must show; nil lets everybody publish except web pages of other hosts.
	Tokens *access.Tokens
	// AllowCrossOrigin lets these publish too, without a token: any page in a browser nearby then can.
	AllowCrossOrigin bool
	Publishers       Policy
	// MaxPerAddress is the most connections that one address may have open; 0 is no limit.
	MaxPerAddress int
	// Proxies are trusted to say whom a request comes from.
	Proxies access.Proxies
	// Refusals logs who is refused.
	Refusals *access.RefusalLog
	// Once: Run returns when the first publisher has ended.
	Once bool
	// IdleTimeout is how long a publisher may send nothing while the server reads from it; 0 is for ever.
	IdleTimeout time.Duration
	// MaxBody is the most bytes that one publisher may send; 0 is no limit.
	MaxBody int64

	// Format is that of the streams; Auto detects it for each publisher.
	Format stream.Format
	// Live never makes a publisher wait, and retries an Output that fails, unless its reader has gone.
	Live bool
	// Buffer is the most bytes that wait for the output.
	Buffer int64
	// MaxAge is how old they may become, with Live; 0 is any age.
	MaxAge time.Duration
	// Linger limits delivering at the end.
	Linger time.Duration

	Log Log
}

// Log takes log lines. Clients can cause them at any rate, so it may drop all but the last of those with one message.
// Its methods are those of slog.Logger.
type Log interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}
