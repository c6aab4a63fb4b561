// Package push carries a stream to websocket servers. For each destination it connects, sends, waits for the pongs that
// confirm, and connects again after a loss. What waits and what is dropped is decided by lib/stream; what goes over the
// wire is made by lib/wsconn.
//
// It is vw's own and may change.
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

// Options say where a stream goes and how.
type Options struct {
	// URLs of the destinations (ws or wss); each gets the whole stream.
	URLs []string
	// Header is sent with each handshake.
	Header http.Header
	// Stream, if not "", names the stream in each handshake (wsconn.StreamHeader) and in the ledger.
	Stream string
	// Subprotocol, if not "", must be agreed to by the servers.
	Subprotocol string
	// Credentials are read again at each dial.
	Credentials Credentials
	// BeforeDial, if not nil, is called before each dial, concurrently for different destinations. It may call SetURLs.
	BeforeDial func()
	// Proxy returns the proxy to dial a destination through, or nil for none; see wsconn.DialOptions.
	Proxy func(*url.URL) (*url.URL, error)
	// DialTimeout limits each dial, from the name to the handshake; 0 means wsconn's default.
	DialTimeout time.Duration
	// DeadAfter is how long a link may bring neither a frame nor an acknowledged byte.
	DeadAfter time.Duration
	// BackoffMin and BackoffMax limit the pause before another dial.
	BackoffMin, BackoffMax time.Duration
	// GiveUpAfter is how long a destination may confirm nothing, while something waits for it, before Run fails; 0
	// means for ever.
	GiveUpAfter time.Duration
	// Linger limits how long Run goes on after the first signal, and with Live after the end of the input.
	Linger time.Duration

	Format stream.Format
	// MaxMessage is the longest message in bytes.
	MaxMessage int
	// Live, Buffer and MaxAge are those of each destination's queue.
	Live   bool
	Buffer int64
	MaxAge time.Duration

	// Tap, if not nil, gets what is read beside the destinations. With it there need be none.
	Tap Tap

	Ledger *stream.Ledger
	Log    Log
}

// Tap takes the stream beside the destinations, and holds up neither them nor the input.
type Tap interface {
	// Put takes a batch. It returns at once, and retains what it keeps.
	Put(stream.Batch)
	// End says that nothing more will be read.
	End()
}

// Log takes what a user should know. Of lines with one key it may leave out all but the last. A key may contain secrets
// and is never shown.
type Log interface {
	Info(key, msg string, args ...any)
	Warn(key, msg string, args ...any)
	// LogLatest calls record once, now or when the log has room. It forgets an earlier record of the same key that
	// waits.
	LogLatest(key string, record func() (level slog.Level, msg string, args []any))
}

// ErrGaveUp says that a destination confirmed nothing for too long.
var ErrGaveUp = errors.New("gave up")

// errShutdownDeadline ends what is under way when Linger is over.
var errShutdownDeadline = errors.New("no time left")

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

// drainGrace is the time for delivery that is left when reading went on until Linger was over.
const drainGrace = 500 * time.Millisecond

// Run carries in to the destinations until all of them have confirmed all of it, or dropped it. After the end of soft
// it reads on for Linger at most, and has half a second more to deliver. When hard ends, it stops. It returns an error
// if the stream could not be carried to its end, or if it gave up a destination. The ledger has what was dropped.
func (p *Pusher) Run(soft, hard context.Context, in io.Reader) error {
	reader := stream.NewReader(in, stream.ReaderOptions{
		Format: p.o.Format, MaxChunk: p.o.MaxMessage,
		Warn: func(message, hint string) { p.o.Log.Warn(message, message, "hint", hint) },
	})
	defer reader.Close()
	ctx, stop := context.WithCancelCause(hard)
	defer stop(nil)
	defer context.AfterFunc(ctx, reader.Stop)()

	var dropped int64 // when Linger was over
	timer := newShutdownTimer(p.o.Linger, reader.Stop, func() {
		dropped = p.o.Ledger.Snapshot(false).Dropped()
		stop(errShutdownDeadline)
	})
	defer timer.cancel()
	defer context.AfterFunc(soft, timer.start)()

	p.all.start(ctx, stop)
	err := p.feed(ctx, reader)
	if p.o.Live {
		timer.start()
	}
	switch err = errors.Join(p.all.finish(), err); {
	case hard.Err() != nil:
		return context.Cause(hard)
	case err == nil && context.Cause(ctx) == errShutdownDeadline && p.o.Ledger.Snapshot(false).Dropped() > dropped:
		p.o.Log.Warn("end", "no time left to deliver all that was read", "linger", p.o.Linger)
	}
	return err
}

// feed puts what is read into the queues, until the end.
func (p *Pusher) feed(ctx context.Context, reader *stream.Reader) error {
	if p.o.Tap != nil {
		defer p.o.Tap.End()
	}
	for {
		pending := reader.Pending()
		batch, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err // the reader's, which says what was being read
		}
		p.o.Ledger.AddBatch(batch)
		if p.o.Tap != nil {
			p.o.Tap.Put(batch) // before put, which may wait for a destination
		}
		if !p.all.put(ctx, batch, pending, reader.Pending()) {
			return nil // the cause of ctx says why
		}
	}
}

// shutdownTimer stops reading when its time is over, and everything else drainGrace later.
type shutdownTimer struct {
	after                 time.Duration
	stopReading, stopRest func()

	mu      sync.Mutex
	started bool
	timers  []*time.Timer
}

func newShutdownTimer(after time.Duration, stopReading, stopRest func()) *shutdownTimer {
	return &shutdownTimer{after: after, stopReading: stopReading, stopRest: stopRest}
}

// start starts the timer, once.
func (t *shutdownTimer) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started {
		return
	}
	t.started = true
	t.timers = []*time.Timer{time.AfterFunc(t.after, t.stopReading), time.AfterFunc(t.after+drainGrace, t.stopRest)}
}

// cancel stops the timer for good.
func (t *shutdownTimer) cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = true
	for _, timer := range t.timers {
		timer.Stop()
	}
}

// Stats are the figures of one destination at one moment.
type Stats struct {
	To        string // without secrets
	Connected bool
	RoundTrip time.Duration // of the last ping; 0 before the first pong
	Age       time.Duration // of the oldest byte that is held
	Counts    stream.Counts
}

// Stats returns the figures of each destination.
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
