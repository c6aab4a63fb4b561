package viewer

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"github.com/timdrysdale/vw/internal/wake"
	"github.com/timdrysdale/vw/lib/access"
	"github.com/timdrysdale/vw/lib/stream"
	"github.com/timdrysdale/vw/lib/wsconn"
)

// viewer is one connection that gets the stream. Its place is a frame of a group; live viewers have none, for they have
// got everything. Everything but the connection is protected by the hub's mu.
type viewer struct {
	h      *hub
	conn   net.Conn
	direct tryWriter     // of conn, if it can be written to without waiting; else nil
	token  *access.Token // that it has shown; nil: none
	wake   wake.Signal   // the pump must look again
	done   chan struct{} // closed when the connection is not read any more

	// progress is when the connection took something last, in ns since the hub began; written without mu.
	progress atomic.Int64
	answered atomic.Bool // its close frame has come

	in      *[]*viewer // the list of the hub that it is in; nil: none
	at      int        // where
	pumping bool       // it has a goroutine that writes
	writing bool       // which is in a write

	cursor
	viewerCounts
	pings

	closing *closing
	left    bool // the hub has it no more
	dead    bool // it took nothing for too long
}

// cursor is the place in the stream from which a viewer gets the next bytes.
type cursor struct {
	cur       *group // the group that its place is in; nil: it is live or waits for a keyframe
	index     int    // of the next frame in cur
	begun     bool   // it has got something to decode
	resumer   stream.Resumer
	resumedAt time.Time // when the resumer began
	rest      []byte    // of a frame that was written in part
}

// viewerCounts are the account of a viewer.
type viewerCounts struct {
	// pos is the position in the stream up to which everything was sent, or dropped for this viewer. That of a live
	// viewer is the hub's. first is where it joined, last where it ended: -1 while it goes on.
	pos, first, last int64
	waitReason       stream.Reason // of what is dropped while it waits for a keyframe
	dropped          stream.Dropped
	confirmed        int64
	injected         int64
	messages         int64 // that were sent; of a live viewer, less those of the hub
}

// pings are the ping that waits for the viewer's pong, and the pong that answers the viewer's last ping.
type pings struct {
	pong      []byte // answers the latest ping; nil: none to answer
	pingOut   bool
	pingAt    time.Time
	pingPos   int64 // what is in it
	pingTaken int64 // what the answer confirms
}

// tryWriter writes as much as is taken without waiting, and returns how much that is.
type tryWriter interface{ TryWrite(p []byte) int }

// closing is how a connection ends.
type closing struct {
	frame  []byte
	code   int
	reason string
	sent   bool
}

// position is up to where in the stream the viewer is served.
func (v *viewer) position() int64 {
	if v.in == &v.h.live {
		return v.h.pos
	}
	return v.pos
}

// end is up to where the stream is the viewer's.
func (v *viewer) end() int64 {
	if v.last >= 0 {
		return v.last
	}
	return v.h.pos
}

// taken is how many bytes of the stream were sent.
func (v *viewer) taken() int64 { return v.position() - v.first - v.dropped.Sum() }

// begin makes the frame with the index i of g the next one. What comes before it was dropped or is new to the viewer.
func (v *viewer) begin(g *group, i int) {
	v.enterGroup(g, i)
	v.resumer.Begin(v.begun)
	v.resumedAt = time.Now()
	v.begun = true
}

func (v *viewer) enterGroup(g *group, i int) {
	v.leaveGroup()
	g.viewers++
	v.cur, v.index = g, i
}

func (v *viewer) leaveGroup() {
	if v.cur != nil {
		v.h.leaveGroup(v.cur)
		v.cur = nil
	}
}

// seek goes on, after a gap, at the next group that can be begun; if there is none yet, at the next keyframe.
func (v *viewer) seek(reason stream.Reason) {
	h := v.h
	after, now := v.cur.id, time.Now()
	v.leaveGroup()
	for _, g := range h.groups {
		if g.id > after && g.whole() && !h.old(g, now) {
			v.dropped.Add(reason, g.start-v.pos)
			v.pos = g.start
			v.begin(g, 0)
			return
		}
	}
	v.wait(reason)
}

// wait waits for the next keyframe. What comes before it is dropped for the reason.
func (v *viewer) wait(reason stream.Reason) {
	v.waitReason = reason
	v.h.enter(&v.h.waiting, v)
}

// next returns what to write next, nil if there is nothing now.
func (v *viewer) next(now time.Time) []byte {
	for {
		switch {
		case len(v.rest) > 0:
			b := v.rest
			v.rest = nil
			return b
		case v.left, v.closing != nil && v.closing.sent:
			return nil
		case v.pong != nil:
			b := v.pong
			v.pong = nil
			return b
		case v.pingDue(now):
			v.pinged(now, v.pos)
			return appendPing(nil, v.pos)
		case v.cur == nil || v.atHead():
			if v.closing != nil {
				v.closing.sent = true
				return v.closing.frame
			}
			return nil
		case v.index < v.cur.released:
			v.seek(stream.Full)
		case v.index == v.cur.count():
			v.nextGroup(now)
		default:
			if b := v.nextFrame(now); b != nil {
				return b
			}
		}
	}
}

// atHead reports whether the viewer has got everything.
func (v *viewer) atHead() bool {
	return v.index == v.cur.count() && len(v.h.groups) > 0 && v.cur == v.h.lastGroup()
}

// nextGroup goes on from the end of a group.
func (v *viewer) nextGroup(now time.Time) {
	h := v.h
	g := h.group(v.cur.id + 1)
	switch {
	case g == nil && v.cur.id < h.fullUpTo:
		v.seek(stream.Full)
	case g == nil, h.old(g, now):
		v.seek(stream.Age)
	case g.afterGap:
		v.begin(g, 0)
	default:
		v.enterGroup(g, 0)
	}
}

// settleTime is how long after a gap what has not come again since is let through as it comes.
const settleTime = 10 * time.Second

// nextFrame returns the next frame of the group as the viewer gets it, nil if it gets nothing of it.
func (v *viewer) nextFrame(now time.Time) []byte {
	f := v.cur.frame(v.index)
	v.index++
	v.pos = f.end()
	if f.wire == nil {
		v.dropped.Add(f.reason, f.size)
		return nil
	}
	v.messages++
	if f.kind != stream.Packets || !v.resumer.Active() {
		return f.wire
	}
	c := stream.Chunk{Kind: f.kind}
	if f.begin != nil {
		c = *f.begin
	}
	c.Data = f.payload
	data, size, changed := v.resumer.Resume(&c)
	if v.resumer.Settled() || now.Sub(v.resumedAt) > settleTime {
		v.resumer.End()
	}
	if !changed {
		return f.wire
	}
	v.dropped.Add(stream.Resync, f.size-int64(size))
	v.injected += int64(len(data) - size)
	if len(data) == 0 {
		v.messages--
		return nil
	}
	return append(appendMessageHeader(make([]byte, 0, len(data)+wsconn.MaxHeader), len(data)), data...)
}

// pingDue reports whether it is time for a ping.
func (v *viewer) pingDue(now time.Time) bool {
	if v.pingOut || v.closing != nil {
		return false
	}
	since := now.Sub(v.pingAt)
	return since >= keepaliveInterval || since >= pingInterval && v.taken() > v.confirmed
}

// pinged says that a ping was sent when the viewer had been sent everything up to pos.
func (v *viewer) pinged(now time.Time, pos int64) {
	v.pingOut, v.pingAt, v.pingPos = true, now, pos
	v.pingTaken = pos - v.first - v.dropped.Sum()
}

// appendPing appends a ping. What is in it is the same for all who have got everything up to pos.
func appendPing(dst []byte, pos int64) []byte {
	return appendControl(dst, wsconn.OpPing, binary.BigEndian.AppendUint64(nil, uint64(pos)))
}

// fallBehind takes a viewer out of live that took only the first n bytes of the hub's unsent frames, or of that and a
// ping.
func (v *viewer) fallBehind(n int, data []byte) {
	h := v.h
	h.removeLive(v)
	before := int64(len(h.unsent)) // messages of unsent that it is still to get
	v.messages += h.messages
	last := h.unsent[len(h.unsent)-1]
	v.enterGroup(last.g, last.index+1)
	v.pos = last.f.end()
	for _, p := range h.unsent {
		before--
		if n >= len(p.f.wire) {
			n -= len(p.f.wire)
			data = data[len(p.f.wire):]
			continue
		}
		if n > 0 {
			v.rest = p.f.wire[n:]
			v.place(p, 1)
			v.messages -= before
		} else {
			v.place(p, 0)
			v.messages -= before + 1
		}
		v.startPump()
		return
	}
	v.rest = append([]byte(nil), data[n:]...) // of the ping
	v.pinged(time.Now(), v.pos)
	v.startPump()
}

// place puts the viewer in front of a frame, or with after 1 after it.
func (v *viewer) place(p place, after int) {
	v.enterGroup(p.g, p.index+after)
	v.pos = p.f.pos + int64(after)*p.f.size
}
