package viewer

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/fdio"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// How viewers come and go.

// notsentLowat is how many bytes the kernel may take for a viewer and not have sent yet. With more, a viewer that has
// stalled for half a minute looks like one that keeps up.
const notsentLowat = 128 << 10

// newViewer returns a viewer that has not joined yet. token is what it has shown, nil if none is needed.
func newViewer(h *hub, conn net.Conn, token *access.Token) *viewer {
	v := &viewer{h: h, conn: conn, token: token, wake: wake.New(), done: make(chan struct{})}
	v.direct, _ = conn.(tryWriter)
	if c, ok := conn.(*fdio.Conn); ok {
		if socket := c.Socket(); socket != nil {
			v.direct = socket // which nobody uses once the viewer has been cut
		}
	}
	wsconn.SetNotsentLowat(conn, notsentLowat)
	return v
}

// join adds a viewer: from the current group of pictures if that is in memory, else or with next from the next one. It
// returns false when the stream has ended.
func (h *hub) join(v *viewer, next bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	h.viewers[v] = struct{}{}
	h.gone.Connects++
	v.pingAt = time.Now()
	v.first, v.pos, v.last = h.pos, h.pos, -1
	if n := len(h.groups); !next && n > 0 && h.groups[n-1].whole() {
		v.first = h.groups[n-1].start
		v.pos = v.first
		v.begin(h.groups[n-1], 0)
		v.startPump()
		return true
	}
	v.wait(stream.Resync)
	return true
}

// close ends a connection with a close frame, after what the viewer is still to get.
func (v *viewer) close(code int, reason string) {
	if v.closing != nil || v.left {
		return
	}
	v.closing = &closing{frame: appendClose(nil, code, reason), code: code, reason: reason}
	if v.last >= 0 {
		_ = v.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	}
	if v.in == &v.h.waiting {
		v.stopWaiting()
	}
	v.startPump()
}

// endStream says that the viewer gets no more of the stream. What it was not sent is dropped for the reason.
func (v *viewer) endStream(reason stream.Reason) {
	h := v.h
	switch v.in {
	case &h.live:
		h.leaveLive(v)
	case &h.waiting:
		v.stopWaiting()
	}
	if v.last >= 0 {
		return
	}
	v.last = h.pos
	v.dropped.Add(reason, v.last-v.pos)
	v.pos = v.last
	v.leaveGroup()
}

// stopWaiting takes a viewer out of those who wait for a keyframe.
func (v *viewer) stopWaiting() {
	v.h.remove(&v.h.waiting, v)
	v.dropped.Add(v.waitReason, v.h.pos-v.pos)
	v.pos = v.h.pos
}

// leave takes a viewer out whose connection is not read any more, and ends the connection.
func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reason := stream.Lost
	if h.ended {
		reason = stream.Shutdown
	}
	v.endStream(reason)
	v.cut()
	if v.in != nil {
		h.remove(v.in, v)
	}
	v.left = true
	close(v.done)
	v.addTo(&h.gone)
	lost := h.gone.Unconfirmed
	h.gone.Unconfirmed = 0
	h.gone.Dropped.Lost += lost
	delete(h.viewers, v)
}

// cut ends the connection at once. The viewer must not be live, where the hub writes to its socket.
func (v *viewer) cut() {
	if t, ok := v.conn.(*tls.Conn); ok {
		_ = t.NetConn().Close() // TLS would try for five seconds to say that this is the end
		return
	}
	_ = v.conn.Close()
}

// checkTokens closes viewers whose token is no longer valid.
func (h *hub) checkTokens() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range h.viewers {
		if v.token != nil && !h.o.Tokens.Has(*v.token) {
			v.endStream(stream.Lost)
			v.close(wsconn.StatusPolicyViolation, "the token is no longer valid")
		}
	}
}

// reason is why a viewer's connection has ended, in words for the log: err is what its reader ended with.
func (v *viewer) reason(err error) string {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	switch {
	case v.dead:
		return "it took nothing for too long"
	case v.closing != nil && v.closing.reason != "":
		return v.closing.reason
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return "it left"
	}
	return err.Error()
}
