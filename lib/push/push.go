// Package push carries a stream to websocket servers: it connects, sends, has what it sent confirmed, and connects again
// when that fails, for each destination apart. What waits and what is dropped is lib/stream's business, what goes over
// the wire lib/wsconn's.
package push

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
)

// Options say where a stream goes, and how.
type Options struct {
	// URLs of the destinations (ws or wss); each gets the whole stream.
	URLs []string
	// Header is sent with each handshake.
	Header http.Header
	// Subprotocol must be agreed to by the servers, if it is not "".
	Subprotocol string
	// Credentials are read again at each dial.
	Credentials Credentials
	// BeforeDial, if it is not nil, is called right before each dial, and may call SetURLs. Destinations call it
	// concurrently.
	BeforeDial func()
	// Proxy returns the proxy to dial a destination through, or nil for none; see wsconn.DialOptions.
	Proxy func(*url.URL) (*url.URL, error)
	// DialTimeout bounds each dial, from the name to the handshake; 0 for wsconn's default.
	DialTimeout time.Duration
	// DeadAfter is how long a link may bring neither a pong nor an acknowledged byte.
	DeadAfter time.Duration
	// BackoffMin and BackoffMax bound the pause before a dial.
	BackoffMin, BackoffMax time.Duration
	// GiveUpAfter is how long a destination may be out of reach; 0 for ever.
	GiveUpAfter time.Duration
	// Linger is how long to go on after the first signal, and with Live after the end of the input.
	Linger time.Duration

	Format stream.Format
	// MaxMessage is the longest message in bytes.
	MaxMessage int
	// Live, Buffer and MaxAge are those of each destination's queue.
	Live   bool
	Buffer int64
	MaxAge time.Duration

	Ledger *stream.Ledger
	Log    Log
}

// Log takes what a user should know. Of lines with one key it may leave out all but the last. Keys may have secrets in
// them, and are not shown.
type Log interface {
	Info(key, msg string, args ...any)
	Warn(key, msg string, args ...any)
	// LogLatest calls line when it can be told, now or later; once, however often Tell was called with the key meanwhile.
	LogLatest(key string, line func() (level slog.Level, msg string, args []any))
}

// ErrGaveUp says that a destination was out of reach for too long.
var ErrGaveUp = errors.New("gave up")

// errEnough ends what is under way when its time is over.
var errEnough = errors.New("no time left")

// Pusher carries one stream.
type Pusher struct {
	o   Options
	all fanout
}

// New returns a pusher. It fails if the credentials cannot be read.
func New(o Options) (*Pusher, error) {
	if _, err := o.Credentials.tls(); err != nil {
		return nil, err
	}
	if _, err := o.Credentials.header(o.Header); err != nil {
		return nil, err
	}
	p := &Pusher{o: o}
	p.all.o = &p.o
	for _, url := range o.URLs {
		p.all.destinations = append(p.all.destinations, newDestination(url, &p.o, false))
	}
	return p, nil
}

// lastMoments is what is left for delivery when reading has gone on until the time was over.
const lastMoments = 500 * time.Millisecond

// Run carries in to the destinations, until all of it has been confirmed by all of them, or dropped. When soft ends, it
// goes on for Linger at most, and half a second to deliver what was read last; when hard ends, it stops. It returns an
// error when the stream could not be carried to its end, or a destination was given up. What was dropped is in the
// ledger.
func (p *Pusher) Run(soft, hard context.Context, in io.Reader) error {
	reader := stream.NewReader(in, stream.ReaderOptions{Format: p.o.Format, MaxChunk: p.o.MaxMessage})
	defer reader.Close()
	ctx, stop := context.WithCancelCause(hard)
	defer stop(nil)
	defer context.AfterFunc(ctx, reader.Stop)()

	var dropped int64 // when the time was over
	last := newLastCall(p.o.Linger, reader.Stop, func() {
		dropped = p.o.Ledger.Snapshot(false).Dropped()
		stop(errEnough)
	})
	defer last.cancel()
	defer context.AfterFunc(soft, last.begin)()

	p.all.start(ctx, stop)
	err := p.feed(ctx, reader)
	if p.o.Live {
		last.begin()
	}
	switch err = errors.Join(p.all.finish(), err); {
	case hard.Err() != nil:
		return context.Cause(hard)
	case err == nil && context.Cause(ctx) == errEnough && p.o.Ledger.Snapshot(false).Dropped() > dropped:
		p.o.Log.Warn("end", "no time left to deliver all that was read", "linger", p.o.Linger)
	}
	return err
}

// feed puts what is read into the queues, until the end.
func (p *Pusher) feed(ctx context.Context, reader *stream.Reader) error {
	for {
		pending := reader.Pending()
		batch, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err // the reader's, which says what was being read
		}
		p.o.Ledger.AddIn(batch.N)
		if !p.all.put(ctx, batch, pending, reader.Pending()) {
			return nil // it is over, and whoever ended it says why
		}
	}
}

// lastCall ends reading, and a moment later everything, some time after it has begun.
type lastCall struct {
	after         time.Duration
	reading, rest func()

	mu     sync.Mutex
	begun  bool
	timers []*time.Timer
}

func newLastCall(after time.Duration, reading, rest func()) *lastCall {
	return &lastCall{after: after, reading: reading, rest: rest}
}

// begin starts the clock, once.
func (l *lastCall) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		return
	}
	l.begun = true
	l.timers = []*time.Timer{time.AfterFunc(l.after, l.reading), time.AfterFunc(l.after+lastMoments, l.rest)}
}

// cancel stops the clock.
func (l *lastCall) cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
	for _, t := range l.timers {
		t.Stop()
	}
}

// Stats is what a destination is doing.
type Stats struct {
	To        string // without secrets
	Connected bool
	RoundTrip time.Duration // of the last ping; 0 if none has come back
	Age       time.Duration // of the oldest of what is held
	Counts    stream.Counts
}

// Stats returns what each destination is doing.
func (p *Pusher) Stats() []Stats {
	var all []Stats
	for _, d := range p.all.list() {
		all = append(all, Stats{
			To:        d.name,
			Connected: d.connected.Load(),
			RoundTrip: time.Duration(d.roundTrip.Load()),
			Age:       d.queue.Age(),
			Counts:    d.account.Counts(),
		})
	}
	return all
}
