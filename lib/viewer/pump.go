package viewer

import (
	"crypto/tls"
	"time"
)

const (
	// maxPiece is how many bytes are handed to the kernel at once for a viewer who is behind, so that it shows when it
	// takes little.
	maxPiece = 16 << 10
	// closeTimeout is how long a viewer may take for the end of its connection.
	closeTimeout = 2 * time.Second
)

// startPump makes the viewer's goroutine write what there is for the viewer.
func (v *viewer) startPump() {
	h := v.h
	if v.in == &h.live {
		h.leaveLive(v)
	}
	if v.pumping {
		if v.in == &h.parked {
			h.remove(&h.parked, v)
		}
		v.wake.Set()
		return
	}
	v.pumping = true
	h.running.Go(v.pump)
}

// pump writes until the viewer has got everything. Then, if the hub can go on writing to the viewer by itself, it ends.
func (v *viewer) pump() {
	for {
		v.h.mu.Lock()
		b := v.startWrite(time.Now())
		done := b == nil && v.handOver()
		ending := done && v.closing != nil
		v.h.mu.Unlock()
		switch {
		case done:
			if ending {
				v.awaitEnd()
			}
			return
		case b == nil:
			select {
			case <-v.wake:
			case <-v.done:
				return
			}
		case !v.write(b):
			v.cut()
			return
		}
	}
}

// startWrite returns what to write next, nil if there is nothing now. The write counts as begun from here on.
func (v *viewer) startWrite(now time.Time) []byte {
	b := v.next(now)
	if v.writing = b != nil; v.writing {
		v.moved() // the last time may be long ago, and must not count for this write
	}
	return b
}

// handOver ends the pump, if the hub can do without it. There is nothing to write now.
func (v *viewer) handOver() bool {
	h := v.h
	switch {
	case v.left:
		return true
	case v.closing != nil: // and next has returned the close frame
		v.pumping = false
		return true
	case v.in == &h.waiting:
		v.pumping = v.direct == nil
		return !v.pumping
	case v.direct == nil || v.resumer.Active():
		if v.in == nil {
			h.enter(&h.parked, v)
		}
		return false
	}
	if v.in == &h.parked {
		h.remove(&h.parked, v)
	}
	h.enterLive(v)
	v.pumping = false
	return true
}

// awaitEnd gives the peer some time to answer the close frame. It may have to wait for TLS.
func (v *viewer) awaitEnd() {
	if _, ok := v.conn.(*tls.Conn); !ok || v.answered.Load() {
		v.endWriting()
	}
	_ = v.conn.SetReadDeadline(time.Now().Add(closeTimeout))
}

// endWriting says that nothing more comes. With TLS that is for when both close frames have passed: many clients close
// at once when TLS ends, whatever they were about to answer.
func (v *viewer) endWriting() {
	if c, ok := v.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// write hands b to the connection, and notes when that takes something of it.
func (v *viewer) write(b []byte) bool {
	for len(b) > 0 {
		n, err := v.conn.Write(b[:min(len(b), maxPiece)])
		if err != nil {
			return false
		}
		b = b[n:]
		v.moved()
	}
	return true
}

// moved notes that the connection has taken something, or may begin to.
func (v *viewer) moved() { v.progress.Store(int64(time.Since(v.h.began))) }

// enterLive lets the hub write to a viewer who has got everything.
func (h *hub) enterLive(v *viewer) {
	v.leaveGroup()
	v.messages -= h.messages
	h.enter(&h.live, v)
	h.writers = append(h.writers, liveWriter{v.direct, 0})
}

// leaveLive takes a viewer out of live, so that its pump can write.
func (h *hub) leaveLive(v *viewer) {
	h.removeLive(v)
	v.messages += h.messages
	v.pos = h.pos
	g := h.lastGroup()
	v.enterGroup(g, g.count())
}

func (h *hub) removeLive(v *viewer) {
	last := len(h.writers) - 1
	h.writers[v.at] = h.writers[last]
	h.writers[last] = liveWriter{}
	h.writers = h.writers[:last]
	h.remove(&h.live, v)
}
