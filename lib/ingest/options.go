package ingest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// Policy says what becomes of a publisher that comes while another one is publishing.
type Policy int

const (
	// One: the newcomer is refused with 409.
	One Policy = iota
	// Takeover: the newcomer goes on in place of the other, which is cut.
	Takeover
)

var policyNames = [...]string{One: "one", Takeover: "takeover"}

// ParsePolicy reads the value of --publishers.
func ParsePolicy(s string) (Policy, error) {
	for p, name := range policyNames {
		if s == name {
			return Policy(p), nil
		}
	}
	return One, fmt.Errorf("unknown policy %q (one or takeover)", s)
}

func (p Policy) String() string { return policyNames[p] }

// Output is where the stream goes.
type Output interface {
	io.Writer
	// SetWriteDeadline ends a Write that waits.
	SetWriteDeadline(time.Time) error
	// Gone is closed when nobody will read any more what is written.
	Gone() <-chan struct{}
}

// ErrOutputGone says that the reader of the output has gone.
var ErrOutputGone = errors.New("the reader of the output has gone")

// Options say what a Server does. Listener or Pull, and Output, Ledger and Log must be there.
type Options struct {
	// Listener is TCP, or TLS over it. Run closes it.
	Listener net.Listener
	// Pull is where to fetch the stream instead.
	Pull   *Source
	Output Output
	// Ledger counts what publishers sent, and in an entry "stdout" what became of it.
	Ledger *stream.Ledger

	// Token is what a publisher must know; "" lets everybody publish, but for the web pages of other hosts.
	Token string
	// AllowCrossOrigin: without a token these may publish too. A browser anywhere near can then be made to.
	AllowCrossOrigin bool
	Publishers       Policy
	// Once: Run returns when the first publisher has ended.
	Once bool
	// IdleTimeout is how long a publisher may send nothing while it is being waited for; 0 is for ever.
	IdleTimeout time.Duration
	// MaxBody is how many bytes one publisher may send in all; 0 is any number.
	MaxBody int64

	// Format is how publishers' streams are cut; Auto decides for each.
	Format stream.Format
	// Live: the publisher is never made to wait, and an Output that fails is tried again, unless it is gone.
	Live bool
	// Buffer is how many bytes may wait for the output.
	Buffer int64
	// MaxAge is, with Live, how old they may become; 0 is any age.
	MaxAge time.Duration
	// Linger is how long delivering may take at the end.
	Linger time.Duration

	Log Log
}

// Log takes what a user should know. Publishers and strangers can cause it as often as they like: of lines with the
// same message it may leave out all but the last. Its methods are those of slog.Logger.
type Log interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}
