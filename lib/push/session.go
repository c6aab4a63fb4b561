package push

import (
	"context"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

const (
	// initialWindow limits what is sent before the first pong, in bytes, so that a short-lived connection cannot lose
	// the whole backlog. TCP begins no faster.
	initialWindow = 48 << 10
	// initialPongTimeout limits the wait for the first pong.
	initialPongTimeout = time.Second
	// windowPart is the part of the buffer that may be unconfirmed before send waits for a pong.
	windowPart = 4
	// windowWait limits that wait, which happens once for each ping. On a fast link the pong has arrived by then, but
	// while neither end ever blocks, no other goroutine gets to read it.
	windowWait = 10 * time.Millisecond
	// closeTimeout limits the close handshake once everything is confirmed. Nothing depends on it any more.
	closeTimeout = 2 * time.Second
	// fastCloseTimeout limits it when the time is up.
	fastCloseTimeout = 200 * time.Millisecond
)

// session delivers a queue over one connection. One goroutine sends, a second waits for the pongs that confirm, and a
// third ends both when the connection ends or the link is dead.
type session struct {
	d     *destination
	conn  *wsconn.Conn
	start time.Time

	// sent and confirmed are positions in the stream: the socket has taken everything before the first, and the peer
	// has read everything before the second.
	sent, confirmed atomic.Int64
	lastPong        atomic.Int64 // in ns after start; 0 before the first

	pings   chan ping   // sent with a message
	pingNow wake.Signal // the next ping must not wait
	pong    wake.Signal // a pong has come

	lastWindowWait int64 // the value of confirmed when awaitWindow waited last; only send uses it
}

// ping is a ping that has been sent.
type ping struct {
	pong *wsconn.Pong
	pos  int64 // its pong confirms the stream up to here
	at   time.Time
}

func newSession(d *destination, conn *wsconn.Conn) *session {
	s := &session{d: d, conn: conn, start: time.Now(), pings: make(chan ping, 1), pingNow: wake.New(), pong: wake.New(),
		lastWindowWait: -1}
	at := d.queue.Position()
	s.sent.Store(at)
	s.confirmed.Store(at)
	return s
}

// run returns nil when the queue has ended and everything is confirmed, stream.ErrChanged when what comes next needs
// another connection and everything before it is confirmed, else why the connection is lost. It closes the connection.
func (s *session) run(parent context.Context) error {
	s.conn.Discard()
	ctx, lose := context.WithCancelCause(parent)
	var running sync.WaitGroup
	running.Go(func() { s.confirmLoop(ctx) })
	running.Go(func() { lose(s.monitor(ctx)) })
	err := s.send(ctx)
	changed := err == stream.ErrChanged
	if err == nil || changed {
		err = s.drain(ctx)
	}
	s.close(parent, err)
	lose(nil)
	running.Wait()
	if err == nil && changed {
		return stream.ErrChanged
	}
	return err
}

// send sends each delivery of the queue as a message, until the queue ends or the stream changes.
func (s *session) send(ctx context.Context) error {
	s.d.turn.Lock()
	defer s.d.turn.Unlock()
	s.d.session = s
	defer func() { s.d.session = nil }()
	window := initialWindow
	for {
		if confirmed := s.confirmed.Load(); window <= 0 && s.lastPong.Load() == 0 {
			s.awaitPong(ctx, confirmed, initialPongTimeout)
			window = math.MaxInt
		}
		p, err := s.d.turn.Take(ctx)
		switch err {
		case nil:
		case io.EOF:
			return nil
		case stream.ErrChanged:
			return err
		default:
			return context.Cause(ctx)
		}
		s.awaitWindow(ctx, p.Pos)
		s.d.account.AddWritten(&p)
		err = s.write(ctx, p.Data, p.Pos)
		p.Release()
		if err != nil {
			return causeOf(ctx, err)
		}
		window -= len(p.Data)
		s.d.account.AddMessages(1)
	}
}

// sendNow sends what waits, as send does, while nothing of that needs to wait and no ping is due. It returns false when
// it leaves something to send.
func (s *session) sendNow() bool {
	for !s.pingDue(s.sent.Load()) && s.conn.CanPost() {
		p, err := s.d.turn.TakeNow()
		if err != nil {
			return err == stream.ErrEmpty
		}
		s.d.account.AddWritten(&p)
		s.conn.Post(p.Data)
		s.sent.Store(p.Pos)
		p.Release()
		s.d.account.AddMessages(1)
	}
	return false
}

// pingDue reports whether a ping goes with the message that ends at pos: pingInterval has passed, or too much is
// unconfirmed. Before the first pong it always does.
func (s *session) pingDue(pos int64) bool {
	return s.sincePong() >= s.pingInterval() || s.overThreshold(pos)
}

// write sends a message that ends at pos, and a ping with it when one is due.
func (s *session) write(ctx context.Context, message []byte, pos int64) error {
	if !s.pingDue(pos) {
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
		return nil // an earlier ping is outstanding
	}
	select {
	case s.pings <- ping{pong, pos, at}:
	case <-ctx.Done():
	}
	return nil
}

// awaitWindow lets a pong that is on its way be read before a quarter of the buffer, up to pos, is unconfirmed.
func (s *session) awaitWindow(ctx context.Context, pos int64) {
	confirmed := s.confirmed.Load()
	if s.sent.Load() == confirmed || pos-confirmed < s.d.o.Buffer/windowPart || confirmed == s.lastWindowWait {
		return
	}
	s.lastWindowWait = confirmed
	s.awaitPong(ctx, confirmed, windowWait)
}

// awaitPong waits until more than confirmed is confirmed, or limit has passed.
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

// drain waits until everything sent is confirmed.
func (s *session) drain(ctx context.Context) error {
	for s.confirmed.Load() < s.sent.Load() {
		s.pingNow.Set()
		select {
		case <-s.pong:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// close closes the connection: with a handshake when everything is confirmed, with a short one when the time is up,
// else without one.
func (s *session) close(parent context.Context, err error) {
	switch {
	case err == nil:
		ctx, cancel := context.WithTimeout(parent, closeTimeout)
		defer cancel()
		if err := s.conn.Close(ctx, wsconn.StatusNormalClosure, ""); err != nil {
			s.d.o.Log.Warn("close "+s.d.url, "all was confirmed, but the connection did not close in order",
				"to", s.d.name, "err", err)
		}
	case parent.Err() != nil:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), fastCloseTimeout)
		defer cancel()
		_ = s.conn.Close(ctx, wsconn.StatusGoingAway, "") // nothing depends on the answer
	default:
		s.closeLost(parent)
	}
}

// closeLost closes a lost connection. It gives the peer two seconds to read why, unless parent ends before.
func (s *session) closeLost(parent context.Context) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.conn.CloseNow()
	}()
	select {
	case <-closed:
	case <-parent.Done():
		_ = s.conn.Close(parent, wsconn.StatusGoingAway, "") // returns at once, because parent has ended
		<-closed
	}
}

// causeOf returns why ctx ended, or err if it has not.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
