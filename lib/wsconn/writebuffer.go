package wsconn

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/lib/fdio"
)

const (
	// keepBuffer is how much memory, in bytes, a connection keeps for its next message. It gives a bigger buffer back.
	keepBuffer = 1 << 20
	// maxWrite is how much, in bytes, is handed to the network at once, so that unsent shows progress within a giant
	// message.
	maxWrite = 512 << 10
)

// past is a deadline that has passed: setting it ends the calls that wait.
var past = time.Unix(1, 0)

var errClosing = errors.New("the connection is being closed")

// writeBuffer takes frames into memory and writes them to the network. Control frames never wait for the network, so a
// reader can answer a ping while a big message is on its way over a slow link. Only flush, linger and the flusher wait.
//
// What is in memory is bounded: one message (Conn.Write returns only when the network has taken the one before), one
// ping, one close frame, and the latest pong (RFC 6455, 5.5.3: earlier ones need not be sent), so a peer that sends
// pings and never reads costs nothing.
type writeBuffer struct {
	conn   net.Conn     // TCP, or TLS or a proxy's tunnel over it
	raw    net.Conn     // the TCP connection itself
	masked bool         // a client masks its frames
	unsent atomic.Int64 // bytes that the write under way has not handed over yet
	writes ctxWatch     // cuts flush short

	mu        sync.Mutex
	socket    *fdio.Socket // for post; nil: conn has none, or may be closed
	idle      *sync.Cond   // broadcast when flushing or staged becomes false
	out       []byte       // frames in order
	spare     []byte       // a second buffer, for what comes while the first is written
	pong      []byte       // the latest pong, to be sent after out
	closeSent bool         // a close frame has been taken: nothing may follow it (RFC 6455, 5.5.1)
	staged    bool         // a message is there, and what goes with it may follow: only flush may write
	flushing  bool         // one goroutine is writing; it picks up whatever is added meanwhile
	ended     bool         // no goroutine may be started any more
	err       error        // why nothing can be written any more

	running sync.WaitGroup // flushers
}

func newWriteBuffer(conn net.Conn, masked bool) *writeBuffer {
	b := &writeBuffer{conn: conn, raw: underlyingConn(conn), masked: masked}
	b.idle = sync.NewCond(&b.mu)
	b.writes.cut = b.cut
	if c, ok := conn.(*fdio.Conn); ok {
		b.socket = c.Socket()
	}
	return b
}

// stage takes p as a binary message, which stays in memory until flush.
func (b *writeBuffer) stage(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return b.err
	case b.closeSent:
		return errClosing
	}
	b.staged = true
	b.addMessage(p)
	return nil
}

// addMessage adds p as a binary message. b.mu is held.
func (b *writeBuffer) addMessage(p []byte) {
	b.out = slices.Grow(b.out, MaxHeader+len(p)+2*maxControl) // a ping and a pong may come after it
	b.out = appendMessage(b.out, p, b.masked)
}

// canPost reports whether post is likely to write all at once.
func (b *writeBuffer) canPost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.socket != nil && !b.flushing && b.err == nil && !b.closeSent
}

// post takes p as a binary message and writes it without waiting. It leaves the rest to a flusher.
func (b *writeBuffer) post(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closeSent || b.err != nil {
		return
	}
	b.addMessage(p)
	if b.flushing || b.socket == nil {
		b.startFlusher()
		return
	}
	rest := b.out[b.socket.TryWrite(b.out):]
	if b.out = append(b.out[:0], rest...); len(rest) == 0 && cap(b.out) > keepBuffer {
		b.out = nil
	}
	b.startFlusher()
}

// ping adds a ping.
func (b *writeBuffer) ping(payload []byte) {
	b.control(func() { b.out = appendFrame(b.out, OpPing, payload, b.masked) })
}

// answer adds a pong. It replaces one that has not been sent.
func (b *writeBuffer) answer(payload []byte) {
	b.control(func() { b.pong = appendFrame(b.pong[:0], OpPong, payload, b.masked) })
}

// keepAlive adds an unsolicited pong, unless another waits.
func (b *writeBuffer) keepAlive() {
	b.control(func() {
		if len(b.out)+len(b.pong) == 0 && !b.flushing {
			b.pong = appendFrame(b.pong, OpPong, nil, b.masked)
		}
	})
}

// control adds a control frame, and sends it unless a message is staged.
func (b *writeBuffer) control(add func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closeSent && b.err == nil {
		add()
		b.startFlusher()
	}
}

// sendClose adds a close frame, once.
func (b *writeBuffer) sendClose(payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.staged {
		b.idle.Wait()
	}
	if b.closeSent || b.err != nil {
		return
	}
	b.out = append(b.out, b.pong...)
	b.pong = b.pong[:0]
	b.out = appendFrame(b.out, OpClose, payload, b.masked)
	b.closeSent = true
	b.startFlusher()
}

// flush ends stage and returns when the network has taken everything. When ctx ends first, the peer has part of a
// message, and nothing can be written any more. One call at a time.
func (b *writeBuffer) flush(ctx context.Context) error {
	_ = b.writes.arm(ctx) // cut sets b.err
	defer b.writes.disarm()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.staged = false
	b.idle.Broadcast()
	for b.flushing {
		b.idle.Wait()
	}
	b.flushLocked()
	return b.err
}

// cut ends a write that is under way.
func (b *writeBuffer) cut(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = cause
		b.conn.SetWriteDeadline(past)
	}
}

// startFlusher sends what is in memory without anybody calling flush. b.mu is held.
func (b *writeBuffer) startFlusher() {
	if b.staged || b.flushing || b.ended || len(b.out)+len(b.pong) == 0 {
		return
	}
	b.flushing = true
	b.running.Go(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.flushLocked()
	})
}

// flushLocked writes until nothing is left. b.mu is held, but not while it writes.
func (b *writeBuffer) flushLocked() {
	b.flushing = true
	for b.err == nil && !b.staged && len(b.out)+len(b.pong) > 0 {
		buf := append(b.out, b.pong...)
		b.out, b.spare, b.pong = b.spare[:0], nil, b.pong[:0]

		b.unsent.Store(int64(len(buf)))
		b.mu.Unlock()
		err := b.send(buf)
		b.mu.Lock()
		b.unsent.Store(0)

		if b.err == nil {
			b.err = err
		}
		if cap(buf) > keepBuffer {
			buf = nil
		}
		b.spare = buf[:0]
		if len(b.out) == 0 && cap(b.out) < cap(b.spare) {
			// The big one is for messages; what comes while it is written are control frames.
			b.out, b.spare = b.spare, b.out
		}
	}
	if b.err != nil {
		b.out, b.spare, b.pong = nil, nil, nil
	}
	b.flushing = false
	b.idle.Broadcast()
}

// send writes p to the network.
func (b *writeBuffer) send(p []byte) error {
	for len(p) > 0 {
		n, err := b.conn.Write(p[:min(len(p), maxWrite)])
		b.unsent.Add(-int64(n))
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// buffered returns the number of bytes that the network has not taken.
func (b *writeBuffer) buffered() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(len(b.out)+len(b.pong)) + b.unsent.Load()
}

// linger sends what is in memory, for as long as grace at most, and closes the connection. Closing with unread data
// causes a reset, which could overtake a close frame that the peer has not answered: with awaitEnd, linger waits for
// the peer's end first, for as long as grace again. Nothing else may read meanwhile.
func (b *writeBuffer) linger(grace time.Duration, awaitEnd bool) {
	b.mu.Lock()
	if b.err == nil {
		b.conn.SetWriteDeadline(time.Now().Add(grace))
	}
	for b.flushing || b.staged {
		b.idle.Wait()
	}
	b.flushLocked()
	stuck := b.err != nil
	awaitEnd = awaitEnd && !stuck && b.closeSent
	b.socket = nil
	b.mu.Unlock()

	if stuck {
		// Not b.conn: TLS would try for five seconds to say that this is the end.
		b.raw.Close()
		return
	}
	if awaitEnd {
		if c, ok := b.conn.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
		b.raw.SetReadDeadline(time.Now().Add(grace))
		io.Copy(io.Discard, b.raw)
	}
	b.conn.Close()
}

// end closes the connection at once and waits for its goroutines.
func (b *writeBuffer) end() {
	b.mu.Lock()
	b.ended = true
	b.socket = nil
	b.mu.Unlock()
	b.writes.end()
	b.raw.Close()
	b.running.Wait()
}
