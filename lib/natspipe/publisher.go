package natspipe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/mpegts"
	"github.com/timdrysdale/vw/lib/stream"
)

// Publisher carries a stream to a subject.
type Publisher struct {
	o         Options
	connector *connector
	queue     *stream.Queue
	account   *stream.Account
	id        string // of this run

	pos       int64 // in the stream, of the next message
	created   bool  // the JetStream stream exists
	confirmed bool  // something was, ever

	// Of live: what was sent and is not confirmed, in order. A new connection begins with it.
	mu      sync.Mutex
	sent    []outgoing
	unacked int // bytes of sent
	wake    wake.Signal
	room    wake.Signal
}

// outgoing is a message on its way.
type outgoing struct {
	msg  *nats.Msg
	d    stream.Delivery
	last bool // of the messages of d
	sent bool // before, maybe
}

// NewPublisher returns a publisher. It fails if the credentials cannot be read.
func NewPublisher(o Options) (*Publisher, error) {
	c, err := newConnector(&o)
	if err != nil {
		return nil, err
	}
	p := &Publisher{o: o, connector: c, id: strings.ToLower(rand.Text()[:12]), wake: wake.New(), room: wake.New()}
	c.o = &p.o
	p.account = o.Ledger.Open("nats:" + o.Subject)
	p.account.SetStream(p.id)
	p.queue = stream.NewQueue(stream.QueueOptions{
		Live: o.Live, Buffer: o.Buffer, MaxAge: o.MaxAge, AtLeastOnce: !o.Live, MaxDelivery: o.MaxMessage,
		OnChange: stream.AnnounceChange, Account: p.account, Warn: p.warn,
	})
	return p, nil
}

func (p *Publisher) warn(message, hint string) { p.o.Log.Warn(message, message, "hint", hint) }

// drainGrace is the time for delivery that is left when reading went on until Linger was over.
const drainGrace = 500 * time.Millisecond

// Run carries in to the subject until all of it is confirmed, or dropped. After the end of soft it reads on for Linger
// at most. When hard ends, it stops. It returns an error if the stream could not be carried to its end.
func (p *Publisher) Run(soft, hard context.Context, in io.Reader) error {
	reader := stream.NewReader(in, stream.ReaderOptions{
		Format: p.o.Format, MaxChunk: p.o.MaxMessage, Warn: p.warn,
	})
	defer reader.Close()
	ctx, stop := context.WithCancelCause(hard)
	defer stop(nil)
	defer context.AfterFunc(ctx, reader.Stop)()
	linger := sync.OnceFunc(func() {
		time.AfterFunc(p.o.Linger, reader.Stop)
		time.AfterFunc(p.o.Linger+drainGrace, func() { stop(errLinger) })
	})
	defer context.AfterFunc(soft, linger)()

	var delivered error
	var delivering sync.WaitGroup
	delivering.Go(func() {
		delivered = p.deliver(ctx)
		stop(delivered) // after a failure nothing more needs to be read
	})
	err := p.feed(ctx, reader)
	p.queue.End()
	if p.o.Live {
		linger()
	}
	delivering.Wait()
	if hard.Err() != nil {
		return context.Cause(hard)
	}
	return errors.Join(delivered, err)
}

// feed puts what is read into the queue.
func (p *Publisher) feed(ctx context.Context, reader *stream.Reader) error {
	pacer := stream.NewPacer(p.queue)
	for {
		b, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p.o.Ledger.AddIn(b.N)
		if p.queue.Put(ctx, b) != nil {
			return nil // deliver says why
		}
		pacer.Pace(ctx, b.N)
	}
}

// deliver delivers the queue over as many connections as that takes. When it returns, nothing is held or unconfirmed.
func (p *Publisher) deliver(ctx context.Context) error {
	defer p.queue.Abort(stream.Shutdown)
	return keepConnected(ctx, ctx, p.connector, p.queue.Finished, func(l *link) error {
		p.account.AddConnects()
		if p.o.Live {
			return p.sendLive(l)
		}
		return p.sendLossless(l)
	})
}

// keepConnected dials and calls use with each connection, until use returns nil or a fatal error, done says so, or ctx
// ends. The end of hold ends a connection.
func keepConnected(ctx, hold context.Context, c *connector, done func() bool, use func(*link) error) error {
	pause := backoff.New(c.o.BackoffMin, c.o.BackoffMax)
	lost := time.Now()
	for ctx.Err() == nil {
		l, err := c.dial(ctx)
		connected, lasted := err == nil, time.Duration(0)
		if connected {
			began := time.Now()
			c.o.Log.Info("link", "connected", "to", l.to, "after", began.Sub(lost).Round(time.Millisecond))
			unregister := context.AfterFunc(hold, func() { l.lose(context.Cause(hold)) })
			err = use(l)
			unregister()
			l.close()
			lost = time.Now()
			lasted = lost.Sub(began)
			pause.Lasted(lasted)
		}
		switch {
		case isFatal(err):
			return err
		case err == nil || ctx.Err() != nil || done():
			return nil
		}
		wait := pause.Next()
		switch {
		case isRefusal(err):
			wait = pause.NextSlow()
		case lasted > time.Second && len(c.servers) > 1:
			wait = 0 // another server is there
		}
		msg := "no connection"
		if connected {
			msg = "connection lost"
		}
		args := []any{"err", err, "again_in", wait.Round(time.Millisecond)}
		if hint := Hint(err); hint != "" {
			args = append(args, "hint", hint)
		}
		c.o.Log.Warn("link", msg, args...)
		sleep(ctx, wait)
	}
	return nil
}

// messages makes the messages of a delivery: one, or more where the server takes only shorter ones.
func (p *Publisher) messages(d stream.Delivery, limit int) ([]outgoing, error) {
	at := position{id: p.id, pos: p.pos, start: d.RandomAccess && p.o.Live}
	var front []byte
	if at.start && d.Kind == stream.Packets {
		front = frontOf(d)
	}
	if limit < mpegts.PacketSize+len(front) {
		return nil, fatalf("the server takes messages of %d bytes at most, which is too short", limit)
	}
	var all []outgoing
	for data := d.Data; len(data) > 0; front = nil {
		n := min(len(data), limit-len(front))
		if n < len(data) && d.Kind == stream.Packets {
			n -= n % mpegts.PacketSize
		}
		m := nats.NewMsg(p.o.Subject)
		m.Data = data[:n]
		if len(front) > 0 {
			m.Data = append(front, data[:n]...)
		}
		at.front = len(front)
		m.Header[positionHeader] = []string{at.String()}
		if at.start && p.o.Retain != "" {
			m.Header[rollupHeader] = []string{"sub"}
		}
		all = append(all, outgoing{msg: m})
		data = data[n:]
		at.pos += int64(n)
		at.start = false
	}
	p.pos = at.pos
	all[len(all)-1].d, all[len(all)-1].last = d, true
	return all, nil
}

// frontOf is what a decoder that begins with d needs in front of it.
func frontOf(d stream.Delivery) []byte {
	var front []byte
	if d.PSI != nil && (!d.HasPSI || d.Sets != nil) {
		front = d.PSI.Append(front, d.Counters)
	}
	if d.Sets != nil {
		front = d.Sets.AppendPES(front, mpegts.Packet(d.Data[stream.KeyframeAt(d.Data):]))
	}
	return front
}

// headerRoom is more than the headers of a message take.
const headerRoom = 512

func payloadLimit(l *link) int { return int(min(l.nc.MaxPayload(), 1<<30)) - headerRoom }

// Hint returns what a user can do about an error, or "".
func Hint(err error) string {
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return "the account must allow the user this subject: permissions { publish: …, subscribe: … }"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAuthExpired):
		return "give the right --creds, --nkey or --token-file, or user and password in the URL"
	case errors.Is(err, nats.ErrTLS):
		return "give the server's certificate authority with --ca, and --cert and --key if it asks for a certificate"
	}
	var hinted *hintedError
	if errors.As(err, &hinted) {
		return hinted.hint
	}
	return ""
}

// hintedError is an error with what to do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

func hinted(hint, format string, args ...any) error {
	return &fatalError{&hintedError{fmt.Errorf(format, args...), hint}}
}
