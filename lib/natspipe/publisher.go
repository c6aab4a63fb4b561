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
	barred    bool  // from JetStream, and not to ask it over the next connection

	// sent is what is not confirmed, in order. A new connection begins with it.
	sent []outgoing

	// Of live, whose pings have a goroutine of their own. mu guards sent, unacked and confirmed.
	mu      sync.Mutex
	unacked int         // bytes of sent
	pingNow wake.Signal // so much is unconfirmed that the next ping must not wait
	room    wake.Signal // something was confirmed
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
	c, err := newConnector(&o, o.DeadAfter*2/3)
	if err != nil {
		return nil, err
	}
	p := &Publisher{o: o, connector: c, id: strings.ToLower(rand.Text()[:12]), pingNow: wake.New(), room: wake.New()}
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
	missing := func() bool { return p.o.Create && !p.created }
	done := func() bool { return p.queue.Finished() && !missing() }
	err := keepConnected(ctx, ctx, p.connector, done, func(l *link) error {
		p.account.AddConnects()
		if p.o.Live {
			return p.sendLive(l)
		}
		return p.sendLossless(l)
	})
	if err == nil && missing() {
		err = fmt.Errorf("the JetStream stream %s was not created: no server has answered in time", p.o.Retain)
	}
	return err
}
