package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	// confirmEvery is the pause between pings while data flows. They go with a message, so that they cost no wake-up; when
	// none comes for as long again, one goes alone.
	confirmEvery = 500 * time.Millisecond
	// hurryAt is the part of the buffer that may be unconfirmed before a ping does not wait for its time: half of the
	// quarter by which there must have been one, since the bytes of a message are there all at once.
	hurryAt = 8
	// yieldFor is how long send waits, once for each ping, for the pong to be read when a quarter of the buffer is
	// unconfirmed. On a fast link the pong is there by then; but as long as neither end of the way ever makes send wait,
	// no other goroutine gets to look for it.
	yieldFor = 10 * time.Millisecond
	// foretaste is how many bytes a connection gets before it has answered a ping; then what waits follows at once. A
	// connection that dies young would cost as much as has been waiting, each time, and TCP begins no faster.
	foretaste = 48 << 10
	// tasting is how long that answer is waited for at most.
	tasting = time.Second
	// closeTimeout is how long the close handshake may take once all is confirmed: nothing depends on it any more.
	closeTimeout = 2 * time.Second
	// farewell is how long it may take when there is no time.
	farewell = 200 * time.Millisecond
)

// errDead says that a link brought nothing for too long.
var errDead = errors.New("the link is dead")

// session delivers a queue over one connection. One goroutine sends, a second has what was sent confirmed, and a third
// ends them when the connection has ended or the link is dead.
type session struct {
	d     *destination
	conn  *wsconn.Conn
	start time.Time

	// sent and confirmed are positions in the stream: up to where the socket has taken everything, and up to where the
	// peer has read it.
	sent, confirmed atomic.Int64
	lastPong        atomic.Int64 // in ns after start; 0 before the first

	pings chan ping     // what send has sent with a message
	hurry chan struct{} // holds a token when the next ping is not to wait
	pong  chan struct{} // holds a token when a pong came

	yielded int64 // what was confirmed when send yielded last; for send
}

// ping is one that has been sent.
type ping struct {
	pong *wsconn.Pong
	pos  int64 // in the stream, of what its pong confirms
	at   time.Time
}

func newSession(d *destination, conn *wsconn.Conn) *session {
	token := func() chan struct{} { return make(chan struct{}, 1) }
	s := &session{d: d, conn: conn, start: time.Now(), pings: make(chan ping, 1), hurry: token(), pong: token(), yielded: -1}
	at := d.queue.Position()
	s.sent.Store(at)
	s.confirmed.Store(at)
	return s
}

// run returns nil when the queue is at its end and all is confirmed, else why the connection is lost. It closes the
// connection.
func (s *session) run(parent context.Context) error {
	s.conn.Discard()
	ctx, lose := context.WithCancelCause(parent)
	var running sync.WaitGroup
	running.Go(func() { s.confirm(ctx) })
	running.Go(func() { lose(s.watch(ctx)) })
	err := s.send(ctx)
	if err == nil {
		err = s.settle(ctx)
	}
	s.end(parent, err)
	lose(nil)
	running.Wait()
	return err
}

// send takes parcels and sends each as a message, until the end of the queue.
func (s *session) send(ctx context.Context) error {
	left := foretaste
	for {
		if confirmed := s.confirmed.Load(); left <= 0 && s.lastPong.Load() == 0 {
			s.awaitPong(ctx, confirmed, tasting)
			left = math.MaxInt
		}
		p, err := s.d.queue.Take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return context.Cause(ctx)
		}
		s.yield(ctx, p.Pos)
		s.d.account.AddWritten(&p)
		err = s.write(ctx, p.Data, p.Pos)
		p.Release()
		if err != nil {
			return lossOf(ctx, err)
		}
		left -= len(p.Data)
		s.d.account.AddMessages(1)
	}
}

// write sends a message that ends at pos, with a ping if it is time for one, or if there is much that is not confirmed.
func (s *session) write(ctx context.Context, message []byte, pos int64) error {
	if s.sincePong() < s.pause() && !s.much(pos) {
		err := s.conn.Write(ctx, message)
		if err == nil {
			s.sent.Store(pos)
		}
		return err
	}
	at := time.Now()
	pong, err := s.conn.WritePing(ctx, message)
	if err != nil {
		return err
	}
	s.sent.Store(pos)
	if pong == nil {
		return nil // one is outstanding
	}
	select {
	case s.pings <- ping{pong, pos, at}:
	case <-ctx.Done():
	}
	return nil
}

// yield lets a pong be read that is on its way, before a quarter of the buffer is unconfirmed up to pos.
func (s *session) yield(ctx context.Context, pos int64) {
	confirmed := s.confirmed.Load()
	if s.sent.Load() == confirmed || pos-confirmed < 2*s.d.o.Buffer/hurryAt || confirmed == s.yielded {
		return
	}
	s.yielded = confirmed
	s.awaitPong(ctx, confirmed, yieldFor)
}

// sincePong is how long ago the last pong came; very long before the first.
func (s *session) sincePong() time.Duration {
	last := s.lastPong.Load()
	if last == 0 {
		return math.MaxInt64
	}
	return time.Since(s.start) - time.Duration(last)
}

// awaitPong waits until a pong has come since so much was confirmed, for as long as limit.
func (s *session) awaitPong(ctx context.Context, confirmed int64, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for s.confirmed.Load() == confirmed {
		select {
		case <-s.pong:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// pause is how long after a pong the next ping is due: as long as the connection had lasted by then, if that is less than
// usual. A young connection has much to confirm, since it begins with all that was waiting, and may not grow old.
func (s *session) pause() time.Duration {
	return min(confirmEvery, time.Duration(s.lastPong.Load()))
}

// lossOf is why a session's context was ended, if it was, or else err.
func lossOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// settle waits until everything that was sent is confirmed.
func (s *session) settle(ctx context.Context) error {
	for s.confirmed.Load() < s.sent.Load() {
		wake(s.hurry)
		select {
		case <-s.pong:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// confirm waits for pongs, and confirms at each what was written before its ping. A ping that is not to wait for the next
// message it sends itself, and also one now and then while nothing is sent, so that a dead link is noticed and those
// between keep it open.
func (s *session) confirm(ctx context.Context) {
	idle := s.d.o.DeadAfter / 3
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		var p ping
		select {
		case p = <-s.pings:
		case <-s.hurry:
			p = s.ping()
		case <-timer.C:
			if rest := idle - s.sincePong(); rest > 0 && s.sent.Load() == s.confirmed.Load() {
				timer.Reset(rest)
				continue
			}
			p = s.ping()
		case <-ctx.Done():
			return
		}
		if p.pong == nil {
			continue // one is outstanding, and about to come from send
		}
		select {
		case <-p.pong.Done():
		case <-ctx.Done():
			return
		}
		if p.pong.Err() != nil {
			return // watch sees why
		}
		s.lastPong.Store(int64(time.Since(s.start))) // before confirmed, for send
		s.confirmed.Store(p.pos)
		s.d.roundTrip.Store(int64(time.Since(p.at)))
		s.d.queue.Confirm(p.pos)
		wake(s.pong)
		s.hurryUp()
		timer.Reset(min(2*s.pause(), idle))
	}
}

// ping sends a ping by itself. It has no pong when one is outstanding.
func (s *session) ping() ping {
	pos, at := s.sent.Load(), time.Now()
	return ping{s.conn.TryPing(), pos, at}
}

// hurryUp asks for a ping that does not wait, when there is much that is not confirmed.
func (s *session) hurryUp() {
	if s.much(s.sent.Load()) {
		wake(s.hurry)
	}
}

// much reports whether there is much that is not confirmed when everything up to pos has been sent.
func (s *session) much(pos int64) bool { return pos-s.confirmed.Load() >= s.d.o.Buffer/hurryAt }

// watch returns why the connection has ended, or errDead when for DeadAfter there was neither a pong nor a byte
// acknowledged by the peer's TCP. A link that moves is not dead, however slow: a write that has returned proves nothing.
func (s *session) watch(ctx context.Context) error {
	limit := s.d.o.DeadAfter
	tick := time.NewTicker(max(limit/8, time.Millisecond))
	defer tick.Stop()
	var moved uint64
	var last time.Duration // when something moved, after start
	slow := slowness{tell: s.d.news.slow}
	for {
		select {
		case <-s.conn.Done():
			return s.conn.Err()
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		slow.look(s.d.account.Counts())
		now := time.Since(s.start)
		if m := s.movement(); m != moved {
			moved, last = m, now
		}
		last = max(last, time.Duration(s.lastPong.Load()))
		if now-last > limit {
			return fmt.Errorf("%w: no answer and no acknowledged byte for %v", errDead, limit)
		}
	}
}

// slowness tells when a connection drops what it has no time or room for.
type slowness struct {
	tell    func(dropped, held int64)
	looked  bool
	dropped int64 // when it looked last
}

// look is called now and then. What it finds at first is the outage before, which was told of.
func (s *slowness) look(c stream.Counts) {
	dropped := c.Dropped.Age + c.Dropped.Full
	if s.looked && dropped > s.dropped {
		s.tell(dropped-s.dropped, c.Held)
	}
	s.looked, s.dropped = true, dropped
}

// movement is a figure that changes when the link moves.
func (s *session) movement() uint64 {
	if acked, ok := s.conn.Acked(); ok {
		return acked
	}
	return uint64(s.sent.Load()) - uint64(s.conn.Buffered())
}

// end closes the connection: properly when all is confirmed, in a hurry when there is no time, else at once.
func (s *session) end(parent context.Context, err error) {
	switch {
	case err == nil:
		ctx, cancel := context.WithTimeout(parent, closeTimeout)
		defer cancel()
		if err := s.conn.Close(ctx, wsconn.StatusNormalClosure, ""); err != nil {
			s.d.o.Log.Warn("close "+s.d.url, "all was confirmed, but the connection did not close in order",
				"to", s.d.name, "err", err)
		}
	case parent.Err() != nil:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), farewell)
		defer cancel()
		_ = s.conn.Close(ctx, wsconn.StatusGoingAway, "") // it is cut short anyway
	default:
		s.drop(parent)
	}
}

// drop closes a connection that is lost. That may take two seconds, for the peer to hear why, but not longer than there is
// time.
func (s *session) drop(parent context.Context) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.conn.CloseNow()
	}()
	select {
	case <-closed:
	case <-parent.Done():
		_ = s.conn.Close(parent, wsconn.StatusGoingAway, "") // which ends at once
		<-closed
	}
}

func wake(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
