package push

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/backoff"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// destination is one server and the queue in front of it.
type destination struct {
	url  string
	name string // the URL without secrets
	o    *Options

	queue   *stream.Queue
	turn    *stream.Turn  // held by send, but while that waits
	session *session      // that send is at work for; nil: none. Who has the turn may use it
	pacer   *stream.Pacer // for put
	account *stream.Account

	attached bool        // it gets the stream; under fanout.putMu
	removing atomic.Bool // it gets its current group of pictures to the end, and no more
	detached atomic.Bool // its queue has that end
	cancel   context.CancelCauseFunc

	outage outage // only run uses it
	clock  confirmClock
	status statusLog

	connected atomic.Bool
	roundTrip atomic.Int64 // of the last ping, in ns; 0 before the first pong
}

// newDestination returns a destination that run has still to connect. With late it joins a stream that already flows.
func newDestination(url string, o *Options, late bool) *destination {
	d := &destination{url: url, name: wsconn.Redact(url), o: o}
	d.account = o.Ledger.Open(d.name)
	d.account.SetStream(o.Stream)
	d.status.to, d.status.key, d.status.log = d.name, url, o.Log
	d.queue = stream.NewQueue(stream.QueueOptions{
		Live:            o.Live,
		StartAtKeyframe: late || o.Live,
		OnChange:        stream.EndAtChange,
		Buffer:          o.Buffer,
		MaxAge:          o.MaxAge,
		AtLeastOnce:     !o.Live,
		MaxDelivery:     o.MaxMessage,
		Account:         d.account,
		Warn: func(message, hint string) {
			o.Log.Warn(message+" "+url, message, "to", d.name, "hint", hint)
		},
	})
	d.turn = stream.NewTurn(d.queue)
	d.pacer = stream.NewPacer(d.queue)
	return d
}

// put puts a batch into the queue. What it can send without waiting it sends at once.
func (d *destination) put(ctx context.Context, b stream.Batch) error {
	return d.turn.Put(ctx, b, func() bool { return d.session != nil && d.session.sendNow() })
}

// outage is a time without a connection.
type outage struct {
	since   time.Time
	dropped int64 // bytes dropped before it
}

func (d *destination) startOutage() outage {
	return outage{time.Now(), d.account.Counts().Dropped.Sum()}
}

// run delivers the queue, over as many connections as that takes. It returns an error only if it gave up. When it
// returns, nothing is held or unconfirmed.
func (d *destination) run(ctx context.Context) error {
	defer d.queue.Abort(stream.Shutdown)
	pause := backoff.New(d.o.BackoffMin, d.o.BackoffMax)
	d.outage = d.startOutage()
	d.giveUpIn(false)
	for ctx.Err() == nil {
		err := d.connectOnce(ctx, pause)
		if err == nil || ctx.Err() != nil || d.queue.Finished() {
			return nil
		}
		if err == stream.ErrChanged {
			d.o.Log.Info("change "+d.url, "the stream has changed; a new connection begins", "to", d.name)
			continue
		}
		wait, left := nextDial(pause, err), d.giveUpIn(false)
		if left <= 0 {
			return fmt.Errorf("%w after %v: %w", ErrGaveUp, d.o.GiveUpAfter, err)
		}
		wait = min(wait, left)
		d.status.lost(err, wait)
		if d.sleep(ctx, wait); d.queue.Finished() {
			return nil
		}
	}
	return nil
}

// giveUpIn returns how long the destination may go on to confirm nothing.
func (d *destination) giveUpIn(connected bool) time.Duration {
	waited := d.clock.sample(time.Now(), d.account.Counts(), connected)
	if d.o.GiveUpAfter == 0 {
		return math.MaxInt64
	}
	return d.o.GiveUpAfter - waited
}

// dialError says that a dial failed.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// connectOnce makes one connection and delivers the queue over it. It returns nil when the queue has ended and
// everything is confirmed, a dialError, or why the connection was lost.
func (d *destination) connectOnce(ctx context.Context, pause *backoff.Backoff) error {
	if d.o.BeforeDial != nil {
		d.o.BeforeDial()
	}
	conn, err := d.dial(ctx)
	if err != nil {
		return &dialError{err}
	}
	now := time.Now()
	d.account.AddConnects()
	d.connected.Store(true)
	d.status.connected(now.Sub(d.outage.since), d.account.Counts().Dropped.Sum()-d.outage.dropped)
	err = newSession(d, conn).run(ctx)
	d.connected.Store(false)
	if err != nil {
		pause.Lasted(time.Since(now))
		d.outage = d.startOutage() // before Requeue, which drops what was not confirmed
		d.queue.Requeue()
	}
	return err
}

func (d *destination) dial(ctx context.Context) (*wsconn.Conn, error) {
	header, err := d.o.Credentials.header(d.o.Header)
	if err != nil {
		return nil, err
	}
	if d.o.Stream != "" {
		header.Set(wsconn.StreamHeader, d.o.Stream)
	}
	config, err := d.o.Credentials.tls()
	if err != nil {
		return nil, err
	}
	return wsconn.Dial(ctx, d.url, wsconn.DialOptions{
		Header:      header,
		Subprotocol: d.o.Subprotocol,
		TLS:         config,
		Proxy:       d.o.Proxy,
		Timeout:     d.o.DialTimeout,
	})
}

// sleep waits. It returns early when ctx ends, or when the queue has ended and is empty.
func (d *destination) sleep(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	ended := d.queue.Ended()
	for {
		select {
		case <-ended:
			if d.queue.Finished() {
				return
			}
			ended = nil
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
