package wsconn

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// keepBuffer is how much memory, in bytes, a connection keeps for its next message; a bigger buffer is given back.
	keepBuffer = 1 << 20
	// maxWrite is how much, in bytes, is handed to the socket at once, so that unsent shows progress within a giant
	// message.
	maxWrite = 512 << 10
)

var errClosing = errors.New("the connection is being closed")

// socket is the net.Conn under nhooyr's connection. It takes what nhooyr writes into memory and never blocks it:
// nhooyr gives its control frames 5 s from the call to the return of the write, so on a slow link that is still moving
// a pong behind a big message would kill the connection. Only flush, linger and the flusher wait for the network.
//
// What is in memory is bounded: one message (Conn.Write returns only when the network has taken the one before), one
// ping, one close frame, and the latest pong (RFC 6455, 5.5.3: earlier ones need not be sent), so a peer that sends
// pings and never reads costs nothing.
type socket struct {
	net.Conn          // TCP, or TLS and a proxy's tunnel over it; its Read, Write and Close are replaced below
	raw      net.Conn // the TCP connection itself

	absorbing atomic.Bool  // false during a client's handshake: everything passes straight through
	closed    atomic.Bool  // nhooyr has closed its connection
	unsent    atomic.Int64 // bytes that the write under way has not handed over yet
	in        *inbound     // set with absorbing

	// pinged gets a value when a ping frame has been taken into memory.
	pinged chan struct{}

	mu        sync.Mutex
	idle      *sync.Cond // broadcast when flushing or held becomes false
	out       []byte     // frames in order
	spare     []byte     // a second buffer, for what comes while the first is written
	pong      []byte     // the latest pong, to be sent after out
	closeSent bool       // a close frame has been taken: nothing may follow it (RFC 6455, 5.5.1)
	held      bool       // a message is there, and what is to go with it may follow: only flush may write
	flushing  bool       // one goroutine is writing; it picks up whatever is added meanwhile
	waiting   bool       // flush is at work, and its context may cut it short
	ended     bool       // no goroutine may be started any more
	err       error      // why nothing can be written any more

	watched   <-chan struct{} // the context whose end cuts flush short; watched across calls, so that a call costs nothing
	stopWatch func() bool
	running   sync.WaitGroup // flushers and watchers
}

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn, raw: rawConn(conn), pinged: make(chan struct{}, 1)}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// begin ends the handshake, which was read by r: from now on there are frames both ways, and what r holds are the first.
func (s *socket) begin(r *bufio.Reader) {
	s.in = newInbound(r, s.Conn)
	s.absorbing.Store(true)
}

// Read is nhooyr's. An end without a close frame must not look like io.EOF: nhooyr would take it for the end of the
// message that it cuts short.
func (s *socket) Read(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	if !s.absorbing.Load() {
		return s.Conn.Read(p)
	}
	n, err := s.in.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Write is nhooyr's, and never waits for the network. nhooyr sends control frames only, and each is one Write: its
// buffer is longer than any, and it flushes that behind each.
func (s *socket) Write(p []byte) (int, error) {
	if !s.absorbing.Load() {
		return s.Conn.Write(p)
	}
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	op := p[0] & 0x0f
	switch {
	case s.closeSent || s.err != nil:
		// After a write error the peer's close frame may still be there to be read: let nhooyr's reader go on.
	case op == OpPong:
		s.pong = append(s.pong[:0], p...)
	case op == OpClose:
		s.putClose(p)
	default:
		s.out = append(s.out, p...)
	}
	if op == OpPing {
		select {
		case s.pinged <- struct{}{}:
		default:
		}
	}
	s.kick()
	return len(p), nil
}

// putClose makes p the last frame. s.mu is held.
func (s *socket) putClose(p []byte) {
	s.out = append(s.out, s.pong...)
	s.pong = s.pong[:0]
	s.out = append(s.out, p...)
	s.closeSent = true
}

// sendClose puts a close frame behind what is there, once.
func (s *socket) sendClose(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held {
		s.idle.Wait()
	}
	if !s.closeSent && s.err == nil {
		s.putClose(frame)
		s.kick()
	}
}

// Close is nhooyr's. It ends nhooyr's reads, but not the connection: an answer to the peer's close frame is still to
// be sent. linger and end close it.
func (s *socket) Close() error {
	if !s.absorbing.Load() {
		return s.raw.Close()
	}
	s.closed.Store(true)
	return s.Conn.SetReadDeadline(time.Unix(1, 0))
}

// hold takes p as a binary message, masked or not, which stays in memory until flush.
func (s *socket) hold(p []byte, masked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case s.closed.Load():
		return net.ErrClosed
	case s.closeSent:
		return errClosing
	}
	s.held = true
	s.out = slices.Grow(s.out, MaxHeader+len(p)+2*maxControl) // a ping and a pong may come behind
	s.out = appendMessage(s.out, p, masked)
	return nil
}

// flush ends hold and returns when the network has taken everything. When ctx ends first, the peer has part of a
// message, and nothing can be written any more. One call at a time.
func (s *socket) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.idle.Broadcast()

	s.watch(ctx)
	s.waiting = true
	if ctx.Err() != nil {
		s.cut(context.Cause(ctx))
	}
	for s.flushing {
		s.idle.Wait()
	}
	s.drain()
	s.waiting = false
	return s.err
}

// watch makes the end of ctx cut flush short. s.mu is held.
func (s *socket) watch(ctx context.Context) {
	done := ctx.Done()
	if done == s.watched || s.ended {
		return
	}
	s.unwatch()
	if done == nil {
		return
	}
	s.watched = done
	s.running.Add(1)
	s.stopWatch = context.AfterFunc(ctx, func() {
		defer s.running.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting && s.watched == done {
			s.cut(context.Cause(ctx))
		}
	})
}

// unwatch undoes watch. s.mu is held.
func (s *socket) unwatch() {
	if s.stopWatch != nil && s.stopWatch() {
		s.running.Done()
	}
	s.watched, s.stopWatch = nil, nil
}

// cut ends a write that is under way. s.mu is held.
func (s *socket) cut(err error) {
	if s.err == nil {
		s.err = err
		s.Conn.SetWriteDeadline(time.Unix(1, 0))
	}
}

// kick sees to it that what is in memory gets sent without anybody calling flush. s.mu is held.
func (s *socket) kick() {
	if s.held || s.flushing || s.ended || len(s.out)+len(s.pong) == 0 {
		return
	}
	s.flushing = true
	s.running.Go(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drain()
	})
}

// drain writes until nothing is left. s.mu is held, but not while it writes.
func (s *socket) drain() {
	s.flushing = true
	for s.err == nil && !s.held && len(s.out)+len(s.pong) > 0 {
		buf := append(s.out, s.pong...)
		s.out, s.spare, s.pong = s.spare[:0], nil, s.pong[:0]

		s.unsent.Store(int64(len(buf)))
		s.mu.Unlock()
		err := s.send(buf)
		s.mu.Lock()
		s.unsent.Store(0)

		if s.err == nil {
			s.err = err
		}
		if cap(buf) > keepBuffer {
			buf = nil
		}
		s.spare = buf[:0]
		if len(s.out) == 0 && cap(s.out) < cap(s.spare) {
			// The big one is for messages; what comes while it is written are control frames.
			s.out, s.spare = s.spare, s.out
		}
	}
	if s.err != nil {
		s.out, s.spare, s.pong = nil, nil, nil
	}
	s.flushing = false
	s.idle.Broadcast()
}

// send writes p to the network.
func (s *socket) send(p []byte) error {
	for len(p) > 0 {
		n, err := s.Conn.Write(p[:min(len(p), maxWrite)])
		s.unsent.Add(-int64(n))
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// pending returns the number of bytes that the network has not taken.
func (s *socket) pending() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.out)+len(s.pong)) + s.unsent.Load()
}

// linger sends what is in memory, for as long as grace at most, and closes the connection. A close frame that the
// peer has not answered must not be overtaken by the reset that closing with unread data causes: awaitEnd lets the
// peer's end come first, for as long as grace again. nhooyr has closed before.
func (s *socket) linger(grace time.Duration, awaitEnd bool) {
	s.mu.Lock()
	if s.err == nil {
		s.Conn.SetWriteDeadline(time.Now().Add(grace))
	}
	for s.flushing || s.held {
		s.idle.Wait()
	}
	s.drain()
	stuck := s.err != nil
	awaitEnd = awaitEnd && !stuck && s.closeSent
	s.mu.Unlock()

	if stuck {
		// Not s.Conn: TLS would try for five seconds to say that this is the end.
		s.raw.Close()
		return
	}
	if awaitEnd {
		if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
		s.raw.SetReadDeadline(time.Now().Add(grace))
		io.Copy(io.Discard, s.raw)
	}
	s.Conn.Close()
}

// end closes the connection at once and waits for the socket's goroutines.
func (s *socket) end() {
	s.mu.Lock()
	s.ended = true
	s.unwatch()
	s.mu.Unlock()
	s.raw.Close()
	s.running.Wait()
}
