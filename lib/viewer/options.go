package viewer

import (
	"net"
	"time"

	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/viewer/page"
)

// Options say how viewers are served.
type Options struct {
	// Listener is TCP, a unix socket, or TLS over one of them. Run closes it.
	Listener net.Listener
	// Tokens are what viewers must know one of; nil lets everybody watch who asks for the server by an address or by a
	// name in Hosts, but for the web pages of other hosts.
	Tokens *access.Tokens
	// Hosts are names of the server, and hosts whose pages may show the picture.
	Hosts access.Hosts
	// MaxViewers is how many viewers there may be, MaxPerAddress how many of one address; 0 is any number.
	MaxViewers, MaxPerAddress int
	// Page is what "/" and "/embed" show.
	Page *page.Page
	// Buffer is how many bytes of the stream are held in memory for all viewers: the current group of pictures, which
	// new ones begin with, and what slow ones have not taken yet.
	Buffer int64
	// MaxAge is how old a group of pictures may be for a viewer who is behind to begin it; 0 is any age.
	MaxAge time.Duration
	// DeadAfter is how long a viewer may take nothing while there is something to take.
	DeadAfter time.Duration
	// Gather joins what comes in within so long into one message; 0 is not at all.
	Gather time.Duration
	// Linger is how long delivering may take at the end.
	Linger time.Duration
	// Ledger gets an entry "viewers".
	Ledger *stream.Ledger
	Log    Log
}

// Log takes what a user should know. Viewers and strangers can cause it as often as they like: of lines with the same
// message it may leave out all but the last. Its methods are those of slog.Logger.
type Log interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}
