// Package natspipe carries a stream between a pipe and a NATS subject. With live it goes over core NATS: a header says
// where in the stream a message stands, so that a subscriber sees what is missing. Without, it goes over JetStream,
// whose acknowledgements confirm. What waits and what is dropped is decided by lib/stream.
//
// It is vw's own and may change.
package natspipe

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// Options say where a stream goes to or comes from, and how.
type Options struct {
	// Servers are URLs of one cluster: nats, tls, ws or wss. Its other servers are learned from it.
	Servers []string
	Subject string

	// Credentials are read again at each dial. Creds and NKey are files of NATS, Token returns a token; "", nil: none.
	Creds, NKey string
	Token       func() (string, error)
	TLS         wsconn.TLSFiles
	// Proxy chooses as in wsconn.DialOptions; nats counts as ws, tls as wss.
	Proxy func(*url.URL) (*url.URL, error)
	// DialTimeout bounds the dial of one server, with all that NATS says before it is ready.
	DialTimeout time.Duration
	// DeadAfter is how long a server may be silent.
	DeadAfter time.Duration
	// BackoffMin and BackoffMax limit the pause before another dial.
	BackoffMin, BackoffMax time.Duration

	// Retain is the JetStream stream that holds the subject; "": with Live none, else the one that the server finds.
	Retain string
	// Create creates it, of so many Replicas, if it does not exist. Without Live it holds at most KeepSize bytes, for
	// at most KeepAge; 0: no limit.
	Create   bool
	Replicas int
	KeepSize int64
	KeepAge  time.Duration
	// Durable is the name of the consumer, of a subscriber without Live.
	Durable string

	// Linger limits how long Run goes on after the first signal, and with Live after the end of the input.
	Linger time.Duration
	Format stream.Format
	// MaxMessage is the longest message in bytes; the server's limit may be lower.
	MaxMessage int
	// Live, Buffer and MaxAge are those of the queue.
	Live   bool
	Buffer int64
	MaxAge time.Duration

	Ledger *stream.Ledger
	Log    Log
}

// Log takes what a user should know. Of lines with one key it may leave out all but the last.
type Log interface {
	Info(key, msg string, args ...any)
	Warn(key, msg string, args ...any)
}

// Output is standard output.
type Output interface {
	io.Writer
	SetWriteDeadline(time.Time) error
	// Gone is closed when its reader has gone.
	Gone() <-chan struct{}
}

// CheckSubject returns why a subject cannot be published to.
func CheckSubject(subject string) error {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || strings.ContainsAny(token, " \t\r\n*>") {
			return errors.New("a subject is words with dots between them, without blanks, * and >")
		}
	}
	return nil
}

var defaultPorts = map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443"}

// CheckServer returns why a URL is none of a server. It says nothing of the URL, which may hold a password.
func CheckServer(raw string) error {
	_, err := parseServer(raw)
	return err
}

func parseServer(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a valid URL")
	case defaultPorts[u.Scheme] == "":
		return nil, errors.New("the URL must begin with nats://, tls://, ws:// or wss://")
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case strings.Contains(u.Path+u.RawQuery+u.Fragment, "@"):
		return nil, errors.New("the URL has an @ after its host (write / ? # in a password as %2F %3F %23)")
	}
	if u.Port() == "" {
		u.Host += ":" + defaultPorts[u.Scheme]
	}
	return u, nil
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
